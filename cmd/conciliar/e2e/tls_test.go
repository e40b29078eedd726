package e2e

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store/storetest"
)

// certificate is a new certificate of this machine's, trusted by roots from then on.
func certificate(t *testing.T, serial int64, roots *x509.CertPool) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "conciliar"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(90 * 24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	require.NoError(t, err)
	parsed, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	roots.AddCert(parsed)
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	require.NoError(t, err)
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}))
}

func TestServe_ExchangesItsCertificateUnderLoad(t *testing.T) {
	t.Parallel()
	_, provider := newProvider(t)
	files, roots := secretFiles{t.TempDir()}, x509.NewCertPool()
	cert, key := certificate(t, 1, roots)
	type pair struct{ cert, key string }
	next := []pair{{}, {}}
	for i := range next {
		next[i].cert, next[i].key = certificate(t, int64(i)+2, roots)
	}
	changes := files.environ(t, map[string]string{"TLS_CERT": cert, "TLS_KEY": key})
	changes["OPERATOR_PASSWORD"], changes["API_RATE_LIMIT"] = operatorPassword, "100000"
	service, address := serve(t, environment(storetest.URL(t), provider, changes))
	address = strings.Replace(address, "http://", "https://", 1)
	client := func(keep, http2 bool) *http.Client {
		return &http.Client{Transport: &http.Transport{
			TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, DisableKeepAlives: !keep, ForceAttemptHTTP2: http2,
		}}
	}
	// ask returns the serial number of the certificate of the connection.
	ask := func(c *http.Client) (serial int64, err error) {
		r, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), http.MethodGet, address+"/livez", nil)
		if err != nil {
			return 0, err
		}
		resp, err := c.Do(r)
		if err != nil {
			return 0, err
		}
		defer func() { _ = resp.Body.Close() }()
		if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != http.StatusOK {
			return 0, err
		}
		return resp.TLS.PeerCertificates[0].SerialNumber.Int64(), nil
	}
	resp, err := client(false, false).Get(address + "/livez") //nolint:noctx // the test's own time limit ends it
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, "max-age=31536000", resp.Header.Get("Strict-Transport-Security"))
	plain, err := http.Get(strings.Replace(address, "https://", "http://", 1) + "/livez") //nolint:noctx // the test's own time limit ends it
	require.NoError(t, err)
	require.NoError(t, plain.Body.Close())
	require.Equal(t, http.StatusBadRequest, plain.StatusCode, "plain HTTP is told so")

	old := client(true, true)
	serial, err := ask(old)
	require.NoError(t, err)
	require.EqualValues(t, 1, serial)
	var made, broken atomic.Int64
	ctx, stop := context.WithCancel(t.Context())
	var sending sync.WaitGroup
	t.Cleanup(func() { stop(); sending.Wait() })
	for i := range 4 {
		c := client(i%2 == 0, i < 2)
		sending.Go(func() {
			pace := time.NewTicker(10 * time.Millisecond)
			defer pace.Stop()
			for ; ctx.Err() == nil; <-pace.C {
				made.Add(1)
				if serial, err := ask(c); err != nil || serial == 0 {
					broken.Add(1)
				}
			}
		})
	}
	for i, p := range next {
		want := int64(i) + 2
		files.write(t, "TLS_KEY", p.key)
		service.err.await(t, `settings cannot be used as they are now.*TLS_CERT: and TLS_KEY must be a certificate`)
		serial, err := ask(client(false, false))
		require.NoError(t, err)
		require.Equal(t, want-1, serial, "half of an exchange is none")
		files.write(t, "TLS_CERT", p.cert)
		eventually(t, func() bool { serial, err := ask(client(false, true)); return err == nil && serial == want })
	}
	serial, err = ask(old)
	require.NoError(t, err)
	require.EqualValues(t, 1, serial, "an open connection goes on as it is")
	stop()
	sending.Wait()
	require.Positive(t, made.Load())
	require.Zero(t, broken.Load(), "of %d calls", made.Load())
	require.Equal(t, exitDone, service.stop())
	t.Logf("%d calls, none broken", made.Load())
}
