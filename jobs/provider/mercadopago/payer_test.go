package mercadopago_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/jobs/provider"
	"github.com/conciliar/conciliar/jobs/provider/mercadopago"
)

func TestReadPayers_FindsWhomADocumentNames(t *testing.T) {
	t.Parallel()
	for document, want := range map[string]provider.Payers{
		`{"id":1,"collector_id":2,"payer":{"id":"9001","email":"Ana@Example.com","identification":{"type":"DNI","number":"30111222"}}}`: {
			IDs: []string{"9001"}, Emails: []string{"ana@example.com"}, Documents: []string{"30111222"},
		},
		`{"payer":{"id":9007199254740993,"email":null}}`: {IDs: []string{"9007199254740993"}},
		`{"metadata":{"payer_email":"a@shop.example"},"payer":{"email":"Zoe@example.com"},"z":{"payer_email":"b@shop.example"}}`: {
			Emails: []string{"zoe@example.com", "a@shop.example", "b@shop.example"},
		},
		`{"payer":9001}`: {IDs: []string{"9001"}},
		`{"payer_id":9001,"payer_email":"ana@example.com"}`:                                  {IDs: []string{"9001"}, Emails: []string{"ana@example.com"}},
		`{"card":{"cardholder":{"name":"APRO","identification":{"number":30111222}}}}`:       {Documents: []string{"30111222"}},
		`{"transactions":{"payments":[{"payer":{"email":"ana\u0040example.com"}}]}}`:         {Emails: []string{"ana@example.com"}},
		`{"payer":{"id":"9001"},"additional_info":{"payer":{"id":"9001","first_name":"A"}}}`: {IDs: []string{"9001"}},
		`{"pay\u0065r":{"id":" 9001 "},"payers":["payer",{"payer_id":"9002"}]}`:              {IDs: []string{"9001", "9002"}},
		"\uFEFF" + `{"payer":{"id":"9001"}}`:                                                 {IDs: []string{"9001"}},
		`{"collector":{"id":2,"email":"shop@example.com"},"payer":{}}`:                       {},
		`{"payer":{"id":"0","email":"XXXXXXXXXXX"}}`:                                         {},
		`{"payer":{"email":"xxxxx@xxxx.com"}}`:                                               {},
		strings.Repeat(`[`, 40) + `{"payer_id":"9001"}` + strings.Repeat(`]`, 40):            {},
		`{"payer":{"id":"9001"`: {},
		`payer 9001`:            {},
		``:                      {},
	} {
		require.Equal(t, want, mercadopago.ReadPayers([]byte(document)), document)
	}
}

func FuzzReadPayers_NeverPanics(f *testing.F) {
	f.Add([]byte(`{"payer":[{"payer":{"id":{},"email":[]}}],"cardholder":{"identification":7}}`))
	f.Fuzz(func(t *testing.T, document []byte) {
		for _, email := range mercadopago.ReadPayers(document).Emails {
			require.Contains(t, email, "@")
		}
	})
}
