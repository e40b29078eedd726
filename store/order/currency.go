package order

import (
	"strings"

	"github.com/shopspring/decimal"
)

// A Currency is what money is counted in.
type Currency struct {
	// Code is the ISO 4217 code, three upper-case letters.
	Code string
	// Decimals is how many decimals the currency has by ISO 4217: money of it is
	// written and compared with so many.
	Decimals int32
	// ChargedDecimals is how many of them Mercado Pago charges: 0 where it takes
	// whole units only, else Decimals.
	ChargedDecimals int32
}

// currencyCodes are the currencies and funds of ISO 4217 list one that are money
// somebody can owe, by how many decimals they have. Bonds, metals, units of
// account, the code for testing and the one for no currency are not among them.
//
// The table is ours because the ones at hand are wrong for what Mercado Pago
// charges in: golang.org/x/text/currency gives the Colombian peso no decimals,
// lacks VES and takes XXX for money.
var currencyCodes = map[int32]string{
	0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
	2: "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BOV BRL BSD " +
		"BTN BWP BYN BZD CAD CDF CHE CHF CHW CNY COP COU CRC CUP CVE CZK DKK DOP " +
		"DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF " +
		"IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL " +
		"MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR " +
		"NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP " +
		"SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD " +
		"USN UYU UZS VED VES WST XCD XCG YER ZAR ZMW ZWG",
	3: "BHD IQD JOD KWD LYD OMR TND",
	4: "CLF UYW",
}

// chargedWhole are the currencies that have decimals and of which Mercado Pago
// charges whole units only (a price of 20076.47 COP is
// charged as 20076).
var chargedWhole = map[string]bool{"COP": true}

var currencies = func() map[string]Currency {
	all := map[string]Currency{}
	for decimals, codes := range currencyCodes {
		for code := range strings.FieldsSeq(codes) {
			c := Currency{Code: code, Decimals: decimals, ChargedDecimals: decimals}
			if chargedWhole[code] {
				c.ChargedDecimals = 0
			}
			all[code] = c
		}
	}
	return all
}()

// LookupCurrency returns the currency that the code names. Only the exact code,
// in upper case, names one.
func LookupCurrency(code string) (Currency, bool) {
	c, known := currencies[code]
	return c, known
}

// SmallestUnit is the smallest amount that the currency has: 0.01 for ARS, 1
// for CLP.
func (c Currency) SmallestUnit() decimal.Decimal { return decimal.New(1, -c.Decimals) }

// Round returns the amount at the currency's smallest unit, half of one rounded
// up (away from zero).
func (c Currency) Round(amount decimal.Decimal) decimal.Decimal { return amount.Round(c.Decimals) }

// compare compares two amounts that are rounded: -1 when a is below b, 1 when it
// is above, and 0 when they differ by less than the unit that is charged, so that
// 20076 COP pay 20076.47.
func (c Currency) compare(a, b decimal.Decimal) int {
	if a.Sub(b).Abs().LessThan(decimal.New(1, -c.ChargedDecimals)) {
		return 0
	}
	return a.Cmp(b)
}

// FormatAmount writes an amount in the currency's own form, the only one in
// which money leaves this product: all of the currency's decimals and no more
// ("150.00" ARS, "15990" CLP), what is finer rounded half up, never an exponent
// and no thousands separator.
//
// An amount whose currency is not known, which only a payment without money may
// have, is written exactly and without trailing zeros.
func FormatAmount(amount decimal.Decimal, currency string) string {
	if c, known := LookupCurrency(currency); known {
		return amount.StringFixed(c.Decimals)
	}
	return amount.Normalize().StringFixed(max(0, -amount.Normalize().Exponent()))
}

// FormatKnown is FormatAmount of an amount that may not be known; nil then.
func FormatKnown(amount decimal.NullDecimal, currency string) *string {
	if !amount.Valid {
		return nil
	}
	text := FormatAmount(amount.Decimal, currency)
	return &text
}
