package bench

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// A shop takes order events: it counts them, or takes connections and says nothing.
type shopEndpoint struct {
	url         string
	taken       atomic.Int64
	first, last atomic.Int64
	close       func()
}

func openShop(ctx context.Context, hangs bool) (*shopEndpoint, error) {
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	shop := &shopEndpoint{url: "http://" + ln.Addr().String(), close: func() { _ = ln.Close() }}
	if hangs {
		return shop, nil
	}
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		now := time.Now().UnixNano()
		shop.first.CompareAndSwap(0, now)
		shop.last.Store(now)
		shop.taken.Add(1)
		w.WriteHeader(http.StatusNoContent)
	})}
	go func() { _ = server.Serve(ln) }()
	shop.close = func() { _ = server.Close() }
	return shop, nil
}

// settings are the service's for this shop.
func (s *shopEndpoint) settings() []string {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // it never fails
	return []string{
		"ORDER_EVENTS_URL=" + s.url, "ORDER_EVENTS_ALLOW_PRIVATE=true",
		"ORDER_EVENTS_SECRETS=whsec_" + base64.StdEncoding.EncodeToString(key),
	}
}

// events measures what telling the shop costs the settlement, and how fast it is told.
func (b *harness) events(ctx context.Context) ([]Figure, error) {
	var untold, hanging, told []settling
	var sent []float64
	for range b.options.Rounds {
		done, err := b.settledOnce(ctx, 1)
		if err != nil {
			return nil, err
		}
		untold = append(untold, done)
		for _, hangs := range []bool{true, false} {
			done, rate, err := b.settledBeside(ctx, hangs)
			if err != nil {
				return nil, err
			}
			if hangs {
				hanging = append(hanging, done)
			} else {
				told, sent = append(told, done), append(sent, rate)
			}
		}
	}
	alone := settlingFigure("", untold).Value
	return []Figure{
		settlingFigure("the shop answers at once", told).beside("no shop", alone),
		settlingFigure("the shop never answers", hanging).beside("no shop", alone),
		{What: "order events that the shop was sent meanwhile", Unit: "sent/s", Value: spreadOf(sent...)},
	}, nil
}

// settledBeside works a backlog off beside a shop, and says how fast that was told.
func (b *harness) settledBeside(ctx context.Context, hangs bool) (settling, float64, error) {
	shop, err := openShop(ctx, hangs)
	if err != nil {
		return settling{}, 0, err
	}
	defer shop.close()
	done, err := b.settledOnce(ctx, 1, shop.settings()...)
	if err != nil || hangs {
		return done, 0, err
	}
	took := time.Duration(shop.last.Load() - shop.first.Load())
	return done, float64(shop.taken.Load()) / max(took.Seconds(), 0.001), nil
}
