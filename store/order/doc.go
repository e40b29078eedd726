// Package order decides what a merchant's order is worth.
//
// It is a pure function from an order's terms and the latest known state of
// each of its payments to the order's status, its money and its anomalies. It
// reads no clock, no database and no network, so the same payments give the
// same end in whatever order, however often and however late they arrive.
//
// Money is exact: a decimal.Decimal in units of its currency (150.25 ARS is a
// hundred and fifty pesos and twenty-five centavos), never a float. Amounts are
// compared by value, so 150, 150.0 and 150.00 are one amount, and currencies
// without cents need no special case.
package order
