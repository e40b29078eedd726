package jobs

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store"
)

func TestPhases_EachRunBeginsAndEndsInTheTable(t *testing.T) {
	t.Parallel()
	of := func(scope string) []string {
		var names []string
		for _, p := range Phases() {
			if slices.Contains(p.Scopes, scope) {
				names = append(names, p.Name)
			}
		}
		return names
	}
	require.Equal(t, []string{
		store.PhaseStuck, store.PhaseRetention, store.PhaseMissing, store.PhaseOrders, store.PhaseProvisional, store.PhaseUnpaid,
		store.PhasePayouts, store.PhaseDrift, store.PhaseRepair,
		store.PhaseWait, store.PhaseDone,
	}, of(store.ScopeRegular))
	require.Equal(t, []string{store.PhaseMissing, store.PhaseOrders, store.PhaseDrift, store.PhaseRepair, store.PhaseWait, store.PhaseDone}, of(store.ScopeBackfill))
	for i, p := range phases {
		require.NotEmpty(t, p.Does, p.Name)
		require.Equal(t, i == len(phases)-1, p.work == nil, "the last one only ends the run")
	}
	_, err := phaseOf("odd")
	require.ErrorContains(t, err, `unknown phase "odd"`)
}

func TestPhases_WhatNoRunHasHasNoNext(t *testing.T) {
	t.Parallel()
	w := &stepWorker{}
	for _, run := range []store.Run{
		{Scope: store.ScopeBackfill, Phase: store.PhaseStuck}, {Scope: store.ScopeRegular, Phase: store.PhaseDone},
		{Scope: "odd", Phase: store.PhaseMissing},
	} {
		require.ErrorContains(t, w.enterNext(t.Context(), &store.RunStep{Run: run}), "has no next")
	}
}
