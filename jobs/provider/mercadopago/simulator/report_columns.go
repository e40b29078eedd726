package simulator

// columnsOf are the columns of each kind, with their titles in English, Spanish and
// Portuguese.
var columnsOf = map[string][][4]string{
	releaseReport: {
		{"DATE", "Release date", "FECHA DE LIBERACIÓN", "DATA DE LIBERAÇÃO"},
		{"SOURCE_ID", "Transaction ID in Mercado Pago", "ID DE OPERACIÓN EN MERCADO PAGO", "ID DA OPERAÇÃO NO MERCADO PAGO"},
		{"EXTERNAL_REFERENCE", "Reference code", "CÓDIGO DE REFERENCIA", "CÓDIGO DE REFERÊNCIA"},
		{"RECORD_TYPE", "Registry type", "TIPO DE REGISTRO", "TIPO DE REGISTRO"},
		{"DESCRIPTION", "Description", "DESCRIPCIÓN", "DESCRIÇÃO"},
		{"NET_CREDIT_AMOUNT", "Net credit amount", "MONTO NETO ACREDITADO", "VALOR LÍQUIDO CREDITADO"},
		{"NET_DEBIT_AMOUNT", "Net debit amount", "MONTO NETO DEBITADO", "VALOR LÍQUIDO DEBITADO"},
		{"GROSS_AMOUNT", "Gross amount", "MONTO BRUTO DE LA OPERACIÓN", "VALOR BRUTO DA OPERAÇÃO"},
		{"MP_FEE_AMOUNT", "Mercado Pago fee", "COMISIÓN DE MERCADO PAGO O MERCADO LIBRE (INCLUYE IVA)", "TARIFA DO MERCADO PAGO OU DO MERCADO LIVRE"},
		{"FINANCING_FEE_AMOUNT", "Financing fee", "COMISIÓN POR OFRECER CUOTAS SIN INTERÉS", "TARIFA POR OFERECER PARCELAMENTO SEM ACRÉSCIMO"},
		{"SHIPPING_FEE_AMOUNT", "Shipping fee", "COSTO DE ENVÍO", "FRETE"},
		{"TAXES_AMOUNT", "Taxes amount", "IMPUESTOS COBRADOS POR RETENCIONES IIBB", "IMPOSTOS COBRADOS POR RETENÇÕES IIBB"},
		{"COUPON_AMOUNT", "Discount coupon", "CUPÓN DE DESCUENTO", "CUPOM DE DESCONTO"},
		{"BALANCE_AMOUNT", "Balance", "SALDO", "SALDO"},
		{"CURRENCY", "Currency", "MONEDA", "MOEDA"},
	},
	settlementReport: {
		{"EXTERNAL_REFERENCE", "Reference code", "CÓDIGO DE REFERENCIA", "CÓDIGO DE REFERÊNCIA"},
		{"SOURCE_ID", "Operation ID in Mercado Pago", "ID DE OPERACIÓN EN MERCADO PAGO", "ID DA OPERAÇÃO NO MERCADO PAGO"},
		{"TRANSACTION_TYPE", "Operation type", "TIPO DE OPERACIÓN", "TIPO DE OPERAÇÃO"},
		{"TRANSACTION_AMOUNT", "Purchase amount", "VALOR DE LA COMPRA", "VALOR DA COMPRA"},
		{"TRANSACTION_CURRENCY", "Currency of the operation", "MONEDA DE LA OPERACIÓN", "MOEDA DA OPERAÇÃO"},
		{"TRANSACTION_DATE", "Origin date", "FECHA DE ORIGEN", "DATA DE ORIGEM"},
		{"FEE_AMOUNT", "Mercado Pago fee", "COMISIÓN DE MERCADO PAGO", "TARIFA DO MERCADO PAGO"},
		{"TAXES_AMOUNT", "Taxes amount", "IMPUESTOS COBRADOS POR RETENCIONES IIBB", "IMPOSTOS COBRADOS POR RETENÇÕES IIBB"},
		{"SETTLEMENT_NET_AMOUNT", "Net amount of the operation", "MONTO NETO DE LA OPERACIÓN", "VALOR LÍQUIDO DA OPERAÇÃO"},
		{"SETTLEMENT_CURRENCY", "Settlement currency", "MONEDA", "MOEDA"},
		{"SETTLEMENT_DATE", "Approval date", "FECHA DE APROBACIÓN", "DATA DE APROVAÇÃO"},
	},
}

// columns are the names of the columns that a report has.
func (s *Simulator) columns(kind string) []string {
	if kind == releaseReport && s.cfg.Reports.Columns != nil {
		return s.cfg.Reports.Columns
	}
	var names []string
	for _, c := range columnsOf[kind] {
		names = append(names, c[0])
	}
	return names
}
