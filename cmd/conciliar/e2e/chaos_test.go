//go:build chaos

package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The suite is told what to do by these variables; see the Makefile's target
// chaos.
const (
	// longEnv makes it repeat the scenarios, with other chances each time, until
	// budgetEnv has passed.
	longEnv   = "CHAOS_LONG"
	budgetEnv = "CHAOS_BUDGET"
	// writeEnv makes it write its table into the documentation.
	writeEnv = "CHAOS_WRITE"
	// patienceEnv is how long it waits for what must come.
	patienceEnv = "CHAOS_PATIENCE"
)

// A scenario is one row of the matrix.
type scenario struct {
	// name is what -run selects it by.
	name string
	// fault is what breaks, step is when.
	fault, step string
	run         func(s *stage)
}

// scenarios are all rows, in the order of the table.
func scenarios() []scenario {
	var all []scenario
	for _, part := range [][]scenario{
		killings(), signals(), databaseFaults(), hosts(), providerFaults(), searches(), deliveries(), roads(), crowds(), clocks(), poolers(), tellings(), upgrades(),
		failovers(), refundFaults(),
	} {
		all = append(all, part...)
	}
	return all
}

// TestChaos_LosesNothingAndCountsNothingTwice plays every scenario once, or, in the long form, again and again.
func TestChaos_LosesNothingAndCountsNothingTwice(t *testing.T) {
	t.Parallel()
	*updateDocs = *updateDocs || os.Getenv(writeEnv) != ""
	m := &matrix{}
	play := func(name string, chance func() *rand.Rand) bool {
		return t.Run(name, func(t *testing.T) {
			for _, sc := range scenarios() {
				t.Run(sc.name, func(t *testing.T) {
					t.Parallel()
					s := &stage{shop: &shop{t: t}, chance: chance()}
					sc.run(s)
					m.add(sc, s.outcome)
				})
			}
		})
	}
	passed := play("once", func() *rand.Rand { return nil })
	if os.Getenv(longEnv) != "" {
		budget, err := time.ParseDuration(os.Getenv(budgetEnv))
		require.NoError(t, err, budgetEnv)
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		var draws sync.Mutex
		source := rand.New(rand.NewPCG(seed, 0))
		for round := 1; passed && time.Since(m.began()) < budget; round++ {
			passed = play(fmt.Sprintf("round-%d", round), func() *rand.Rand {
				draws.Lock()
				defer draws.Unlock()
				return rand.New(rand.NewPCG(source.Uint64(), 0))
			})
		}
	}
	t.Logf("\n%s", m.table())
	if passed && os.Getenv(writeEnv) != "" {
		require.NoError(t, m.write("../../../docs/reliability.md"))
	}
}

// chaosPatience is how long a scenario waits for what must come.
var chaosPatience = sync.OnceValue(func() time.Duration {
	if given, err := time.ParseDuration(os.Getenv(patienceEnv)); err == nil {
		return given
	}
	return 2 * time.Minute
})
