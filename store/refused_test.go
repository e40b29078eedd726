package store_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store"
)

func TestRefused_AreListedAndShown(t *testing.T) {
	t.Parallel()
	b := setup(t)
	genuine := "ts=1742505638,v1=" + strings.Repeat("deadbeef", 8)
	for _, r := range []store.Refused{
		{Source: "mercadopago", Reason: "malformed", Method: "POST", Query: "data.id=1", Body: []byte(`{"a":1}`), BodyBytes: 7},
		{Source: "mercadopago", Reason: "signature_mismatch", Method: "GET", XSignature: genuine, XRequestID: "delivery-2",
			RemoteIP: ana.RemoteIP, Body: []byte{0xff}, BodyBytes: 70_000},
		{Source: "mercadopago", Reason: "malformed", Method: "POST"},
	} {
		require.NoError(t, b.InsertRefused(t.Context(), r))
	}
	refused := time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)
	b.exec(t, `UPDATE webhook_refused SET refused_at = $1 WHERE id = 1`, refused)

	for name, c := range map[string]struct {
		filter store.RefusedFilter
		want   []int64
	}{
		"all":    {store.RefusedFilter{}, []int64{3, 2, 1}},
		"reason": {store.RefusedFilter{Reason: "malformed"}, []int64{3, 1}},
		"since":  {store.RefusedFilter{Since: refused.Add(time.Second)}, []int64{3, 2}},
		"until":  {store.RefusedFilter{Until: refused.Add(time.Second)}, []int64{1}},
	} {
		var ids []int64
		for _, r := range pages(t, func(p store.Page) (store.List[store.RefusedDelivery], error) {
			return b.RefusedDeliveries(t.Context(), c.filter, p)
		}) {
			ids = append(ids, r.ID)
		}
		require.Equal(t, c.want, ids, name)
	}

	d, err := b.RefusedDelivery(t.Context(), 2)
	require.NoError(t, err)
	require.Equal(t, "signature_mismatch", d.Reason)
	require.Equal(t, "GET", d.Method)
	require.Equal(t, genuine, d.XSignature.Reveal())
	shown, err := json.Marshal(d)
	require.NoError(t, err)
	require.Contains(t, string(shown), `"x_signature":"ts=1742505638,v1=dead…"`)
	require.Equal(t, "ts=1742505638,v1=dead…", fmt.Sprint(d.XSignature))
	require.Equal(t, "delivery-2", d.XRequestID)
	require.Equal(t, "203.0.113.7", *d.RemoteIP)
	require.EqualValues(t, 70_000, d.BodyBytes)
	require.Equal(t, store.Content{Encoding: store.EncodingBase64, Data: "/w==", Bytes: 1}, *d.Body)
	d, err = b.RefusedDelivery(t.Context(), 1)
	require.NoError(t, err)
	require.Equal(t, store.Content{Encoding: store.EncodingText, Data: `{"a":1}`, Bytes: 7}, *d.Body)
	_, err = b.RefusedDelivery(t.Context(), 404)
	require.ErrorIs(t, err, store.ErrRefusedNotFound)
}

func TestRefused_AreGroupedByHourSourceAndReason(t *testing.T) {
	t.Parallel()
	b := setup(t)
	refuse := func(n int, source, reason, requestID string) {
		for range n {
			require.NoError(t, b.InsertRefused(t.Context(), store.Refused{Source: source, Reason: reason, Method: "POST", XRequestID: requestID, Body: []byte("{}")}))
		}
	}
	const uuid = "7E0c6b0d-1111-4222-8333-444455556666"
	refuse(12, "mercadopago", "signature_mismatch", "4bf92f3577b34da6a3ce929d0e0e4736")
	refuse(1, "mercadopago", "signature_mismatch", uuid)
	refuse(2, "github", "wrong_authorization", "")
	hour := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
	b.exec(t, `UPDATE webhook_refused SET refused_at = $1::timestamptz + interval '59 minutes'`, hour)
	refuse(1, "mercadopago", "signature_mismatch", uuid)
	b.exec(t, `UPDATE webhook_refused SET refused_at = $1::timestamptz + interval '1 hour' WHERE id = 16`, hour)

	asked := 0
	groups, err := b.RefusedGroups(t.Context(), store.RefusedFilter{Since: hour}, func(r store.RefusedDetail) (string, error) {
		asked++
		require.Equal(t, "{}", r.Body.Data)
		if r.XRequestID == uuid {
			return "no_match", nil
		}
		return r.Reason, nil
	})
	require.NoError(t, err)
	require.Equal(t, 1+10+2, asked, "of each the newest ten at most")
	require.Equal(t, []store.RefusedGroup{
		{Hour: hour.Add(time.Hour), Source: "mercadopago", Reason: "signature_mismatch", Count: 1, Verdicts: []store.RefusedVerdict{{Verdict: "no_match", Count: 1, NewestID: 16}}},
		{
			Hour: hour, Source: "mercadopago", Reason: "signature_mismatch", Count: 13, ForeignRequestIDs: 12, RequestID: "4bf92f3577b34da6a3ce929d0e0e4736",
			Verdicts: []store.RefusedVerdict{{Verdict: "no_match", Count: 1, NewestID: 13}, {Verdict: "signature_mismatch", Count: 9, NewestID: 12}},
		},
		{Hour: hour, Source: "github", Reason: "wrong_authorization", Count: 2, Verdicts: []store.RefusedVerdict{{Verdict: "wrong_authorization", Count: 2, NewestID: 15}}},
	}, groups)
	groups, err = b.RefusedGroups(t.Context(), store.RefusedFilter{Source: "github"}, func(store.RefusedDetail) (string, error) { return "", nil })
	require.NoError(t, err)
	require.Len(t, groups, 1)
}
