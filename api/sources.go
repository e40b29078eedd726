package api

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/conciliar/conciliar/store"
)

// A SourceReport is the answer of GET /api/webhooks/sources: at most 256
// networks, the busiest first.
type SourceReport struct {
	Mode  SourceIPMode     `json:"mode"`
	Items []SourceDocument `json:"items"`
	// SourceIPCIDRs is the value that lets these networks in beside what is
	// configured now.
	SourceIPCIDRs string `json:"source_ip_cidrs"`
}

// A SourceDocument is a learned network.
type SourceDocument struct {
	Source      string    `json:"source"`
	Network     string    `json:"network"`
	Deliveries  int64     `json:"deliveries"`
	FirstSeenAt time.Time `json:"first_seen_at"`
	LastSeenAt  time.Time `json:"last_seen_at"`
	// Listed is true when the configured ranges cover the whole network.
	Listed bool `json:"listed"`
}

// NewSourceReport holds what was learned against the ranges that are configured.
func NewSourceReport(mode SourceIPMode, configured []netip.Prefix, learned []store.LearnedSource) SourceReport {
	report := SourceReport{Mode: mode, Items: make([]SourceDocument, len(learned))}
	var value []string
	for _, p := range configured {
		value = append(value, p.String())
	}
	for i, l := range learned {
		listed := slices.ContainsFunc(configured, func(p netip.Prefix) bool {
			return p.Bits() <= l.Network.Bits() && p.Contains(l.Network.Addr())
		})
		report.Items[i] = SourceDocument{
			Source: l.Source, Network: l.Network.String(), Deliveries: l.Deliveries,
			FirstSeenAt: l.FirstSeenAt, LastSeenAt: l.LastSeenAt, Listed: listed,
		}
		if !listed && !slices.Contains(value, l.Network.String()) {
			value = append(value, l.Network.String())
		}
	}
	report.SourceIPCIDRs = strings.Join(value, ",")
	return report
}

// listSources answers the networks that signed webhooks came from.
func (a *api) listSources(c *gin.Context, _ *requestEvent) error {
	ctx, cancel := bounded(c)
	defer cancel()
	learned, err := a.deps.Storage.LearnedSources(ctx)
	if err != nil {
		return err
	}
	return answerJSON(c, http.StatusOK, NewSourceReport(a.deps.SourceIPMode, a.deps.SourceIPCIDRs, learned))
}
