package report_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/jobs/provider"
	"github.com/conciliar/conciliar/jobs/provider/mercadopago/report"
	"github.com/conciliar/conciliar/jobs/provider/mercadopago/simulator"
	"github.com/conciliar/conciliar/store/storetest/fixture"
)

// What the simulator's ledger has is what is read, however the report is written.
func TestRead_TheSimulatorsLedger(t *testing.T) {
	t.Parallel()
	for name, how := range map[string]simulator.Reports{
		"by default": {}, "English": {Language: "en"}, "Spanish": {Language: "es", Separator: ";", DecimalComma: true},
		"Portuguese": {Language: "pt", Separator: ";", DecimalComma: true, ByteOrderMark: true, CRLF: true, Zone: time.UTC},
	} {
		clock := fixture.ClockAt(time.Date(2026, 3, 1, 15, 0, 0, 0, time.UTC))
		begin := clock.Now()
		s, err := simulator.New(simulator.Config{
			AccessToken: "token", Secret: "secret", Clock: clock.Now, Reports: how,
			Money: simulator.Money{ReleaseAfter: 48 * time.Hour, TaxShare: decimal.RequireFromString("0.014"), PayoutEvery: 24 * time.Hour},
		})
		require.NoError(t, err)
		for i, end := range []string{simulator.Approved, simulator.Refunded, simulator.InMediation, simulator.ChargedBack} {
			id := s.CreatePayment(simulator.PaymentSpec{Reference: "A-1", Amount: decimal.New(123456, -2), Status: simulator.Approved, StatusDetail: "accredited"})
			clock.Add(time.Duration(i+1) * 20 * time.Hour)
			require.NoError(t, s.Move(id, end, "settled", decimal.Zero))
		}
		clock.Add(96 * time.Hour)
		want := s.Movements(simulator.DefaultCollectorID)
		require.Greater(t, len(want), 6)

		r, err := report.NewReader(bytes.NewReader(s.Report(simulator.DefaultCollectorID, begin, clock.Now())), report.Options{})
		require.NoError(t, err, name)
		var got []provider.Movement
		for m, err := range r.All() {
			require.NoError(t, err, name)
			if m.Kind == provider.MovementRow {
				got = append(got, m)
			}
		}
		require.Len(t, got, len(want), name)
		for i, w := range want {
			g := got[i]
			require.Equal(t, []any{w.At.UTC(), w.SourceID, w.Reference, w.RecordType, w.Description, w.Currency},
				[]any{g.HappenedAt, g.SourceID, g.Reference, g.RecordType, g.Description, g.Currency}, name)
			require.True(t, w.Net.Equal(g.Net()) && w.Gross.Equal(g.Gross.Decimal) && w.Fee.Equal(g.Fee.Decimal) && w.Taxes.Equal(g.Taxes.Decimal), name)
			require.True(t, g.Explained && w.Balance.Equal(g.Balance.Decimal), name)
		}
	}
}
