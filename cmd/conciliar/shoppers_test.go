package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestOrderClient_StopsWithItsContext(t *testing.T) {
	t.Parallel()
	shop := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(shop.Close)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	orders := &orderClient{service: shop.URL}
	require.ErrorIs(t, orders.register(gone, "order-1", demoAmount, "ARS"), context.Canceled)
}
