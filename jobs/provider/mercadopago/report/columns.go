package report

import (
	"strings"
	"sync"
	"unicode"

	"golang.org/x/text/runes"
	"golang.org/x/text/transform"
	"golang.org/x/text/unicode/norm"

	"github.com/conciliar/conciliar/jobs/provider"
)

// A column is one that we read, by the name that the API gives it.
type column string

const (
	columnDate         column = "DATE"
	columnSourceID     column = "SOURCE_ID"
	columnReference    column = "EXTERNAL_REFERENCE"
	columnRecordType   column = "RECORD_TYPE"
	columnDescription  column = "DESCRIPTION"
	columnIn           column = "NET_CREDIT_AMOUNT"
	columnOut          column = "NET_DEBIT_AMOUNT"
	columnGross        column = "GROSS_AMOUNT"
	columnFee          column = "MP_FEE_AMOUNT"
	columnFinancingFee column = "FINANCING_FEE_AMOUNT"
	columnShippingFee  column = "SHIPPING_FEE_AMOUNT"
	columnTaxes        column = "TAXES_AMOUNT"
	columnCoupon       column = "COUPON_AMOUNT"
	columnSharedCoupon column = "EFFECTIVE_COUPON_AMOUNT"
	columnBalance      column = "BALANCE_AMOUNT"
	columnCurrency     column = "CURRENCY"

	// The settlement report's own.
	columnTransactionType column = "TRANSACTION_TYPE"
	columnAmount          column = "TRANSACTION_AMOUNT"
	columnNet             column = "SETTLEMENT_NET_AMOUNT"
	columnSettledOn       column = "SETTLEMENT_DATE"
	columnTransactionDate column = "TRANSACTION_DATE"
	columnAmountCurrency  column = "TRANSACTION_CURRENCY"
)

// titles are the names of columns in a file: the API's (report_translation off), and
// those of translated headers, from the glossaries of the reports' pages and from
// files of the panel. They are compared as titleKey has them, and made at first need.
var titles = sync.OnceValue(func() map[string]column {
	names := map[column][]string{
		columnDate:         {"FECHA DE LIBERACIÓN", "FECHA DE LIQUIDACIÓN", "DATA DE LIBERAÇÃO", "RELEASE DATE"},
		columnSourceID:     {"ID DE OPERACIÓN EN MERCADO PAGO", "ID DE OPERACIÓN", "ID DA OPERAÇÃO NO MERCADO PAGO", "ID DA OPERAÇÃO", "TRANSACTION ID IN MERCADO PAGO", "OPERATION ID IN MERCADO PAGO"},
		columnReference:    {"CÓDIGO DE REFERENCIA", "REFERENCIA EXTERNA", "CÓDIGO DE REFERÊNCIA", "REFERÊNCIA EXTERNA", "REFERENCE CODE"},
		columnRecordType:   {"TIPO DE REGISTRO", "REGISTRY TYPE", "TYPE OF RECORD"},
		columnDescription:  {"DESCRIPCIÓN", "DESCRIÇÃO"},
		columnIn:           {"MONTO NETO ACREDITADO", "VALOR LÍQUIDO CREDITADO", "NET AMOUNT CREDITED", "NET CREDITED AMOUNT"},
		columnOut:          {"MONTO NETO DEBITADO", "VALOR LÍQUIDO DEBITADO", "NET AMOUNT DEBITED", "NET DEBITED AMOUNT"},
		columnGross:        {"MONTO BRUTO DE LA OPERACIÓN", "MONTO BRUTO", "VALOR BRUTO DA OPERAÇÃO", "VALOR BRUTO", "GROSS AMOUNT OF THE OPERATION", "GROSS TRANSACTION AMOUNT"},
		columnFee:          {"FEE_AMOUNT", "COMISIÓN DE MERCADO PAGO O MERCADO LIBRE", "COMISIÓN DE MERCADO PAGO", "TARIFA DO MERCADO PAGO OU DO MERCADO LIVRE", "TARIFA DO MERCADO PAGO", "MERCADO PAGO OR MERCADO LIBRE FEE", "MERCADO PAGO FEE"},
		columnFinancingFee: {"COMISIÓN POR OFRECER CUOTAS SIN INTERÉS", "COSTO POR OFRECER CUOTAS SIN INTERÉS", "COSTO POR OFRECER MESES SIN INTERESES", "TARIFA POR OFERECER PARCELAMENTO SEM ACRÉSCIMO", "TARIFA POR OFERECER PARCELAMENTO SEM ACRÉSCIMOS", "FEE FOR OFFERING INTEREST FREE INSTALLMENTS", "FINANCING FEE"},
		columnShippingFee:  {"COSTO DE ENVÍO", "FRETE", "CUSTO DE ENVIO", "SHIPPING COST", "SHIPPING FEE"},
		columnTaxes:        {"IMPUESTOS COBRADOS POR RETENCIONES IIBB", "IMPUESTOS COBRADOS POR RETENCIONES", "IMPUESTOS COBRADOS", "IMPOSTOS COBRADOS POR RETENÇÕES DE RECEITA BRUTA", "IMPOSTOS COBRADOS POR RETENÇÕES IIBB", "IMPOSTOS COBRADOS POR RETENÇÕES", "IMPOSTOS COBRADOS", "TAXES COLLECTED FOR GROSS INCOME WITHHOLDING", "TAXES COLLECTED", "TAXES CHARGED"},
		columnCoupon:       {"CUPÓN DE DESCUENTO", "CUPOM DE DESCONTO", "DISCOUNT COUPON"},
		columnSharedCoupon: {"COSTO POR OFRECER DESCUENTO", "CUSTO DE OFERECER DESCONTO", "COST OF OFFERING DISCOUNT"},
		columnBalance:      {"SALDO", "BALANCE"},
		columnCurrency:     {"SETTLEMENT_CURRENCY", "MONEDA", "MOEDA"},

		columnTransactionType: {"TIPO DE OPERACIÓN", "TIPO DE OPERAÇÃO", "OPERATION TYPE", "TYPE OF OPERATION"},
		columnAmount:          {"VALOR DE LA COMPRA", "MONTO DE LA OPERACIÓN", "VALOR DA COMPRA", "VALOR DA OPERAÇÃO", "PURCHASE VALUE", "PURCHASE AMOUNT"},
		columnNet:             {"MONTO NETO DE LA OPERACIÓN QUE IMPACTÓ TU DINERO", "MONTO NETO DE LA OPERACIÓN", "VALOR LÍQUIDO DA TRANSAÇÃO", "VALOR LÍQUIDO DA OPERAÇÃO", "NET VALUE OF THE TRANSACTION", "NET AMOUNT OF THE OPERATION"},
		columnSettledOn:       {"FECHA DE APROBACIÓN", "DATA DE APROVAÇÃO", "APPROVAL DATE"},
		columnTransactionDate: {"FECHA DE ORIGEN", "DATA DE ORIGEM", "ORIGIN DATE"},
		columnAmountCurrency:  {"MONEDA DE LA OPERACIÓN", "MOEDA DA OPERAÇÃO", "CURRENCY OF THE OPERATION"},
	}
	byKey := map[string]column{}
	for name, others := range names {
		for _, title := range append(others, string(name)) {
			byKey[titleKey(title)] = name
		}
	}
	return byKey
})

// small words and what stands in brackets are written differently from page to page.
var small = map[string]bool{
	"DE": true, "LA": true, "EL": true, "DEL": true, "DA": true, "DO": true, "THE": true, "OF": true,
}

// titleKey is a title in capitals without accents, small words and what stands in
// brackets.
func titleKey(title string) string {
	title, _, _ = strings.Cut(title, "(")
	plain, _, err := transform.String(transform.Chain(norm.NFD, runes.Remove(runes.In(unicode.Mn))), title)
	if err != nil { // only of an endless expansion, which none of these is
		return ""
	}
	words := strings.FieldsFunc(strings.ToUpper(plain), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	kept := words[:0]
	for _, word := range words {
		if !small[word] {
			kept = append(kept, word)
		}
	}
	return strings.Join(kept, " ")
}

// A shape is what the columns of a report say of its kind.
type shape struct {
	report provider.MoneyReport
	// needed are the columns without which a row is not a movement.
	needed []column
	// marks is a column that only this report has.
	marks column
}

// shapes are the reports that we read. What a merchant left out of the others costs
// detail alone.
var shapes = []shape{
	{provider.SettlementReport, []column{columnSourceID, columnTransactionType, columnAmount, columnNet, columnTransactionDate}, columnTransactionType},
	{provider.ReleaseReport, []column{columnDate, columnSourceID, columnRecordType, columnDescription, columnIn, columnOut}, columnRecordType},
}
