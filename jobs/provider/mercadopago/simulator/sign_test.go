package simulator

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// The hashes were computed with OpenSSL over the manifests beside them.
func TestSign_IsTheDocumentedManifest(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, dataID, requestID, ts string
		manifest                    string // what was hashed
		want                        string
	}{
		{
			name:   "a payment with seconds",
			dataID: "132646402927", requestID: "2066ca19-c6f1-498a-be75-1923005edd06", ts: "1766455693",
			manifest: "id:132646402927;request-id:2066ca19-c6f1-498a-be75-1923005edd06;ts:1766455693;",
			want:     "26594b2b904779a431f5d5e8a6089e7f9f91a4882f134977f659be1c58f263e4",
		},
		{
			name:   "letters keep their case and milliseconds their digits",
			dataID: "ORD01JQ4S4KY8HWQ6NA5PXB65B3D3", requestID: "2066ca19-c6f1-498a-be75-1923005edd06", ts: "1742505638683",
			manifest: "id:ORD01JQ4S4KY8HWQ6NA5PXB65B3D3;request-id:2066ca19-c6f1-498a-be75-1923005edd06;ts:1742505638683;",
			want:     "fb15ae6472eb449173c556793205d77787d58f384d183bb5bc3b724c27bd103c",
		},
		{
			name:   "without a request id",
			dataID: "132646402927", ts: "1766455693",
			manifest: "id:132646402927;ts:1766455693;",
			want:     "42cccaa638acbca6c7b0d1cd022d5caffe424007b14c98f178060c04fa4edb62",
		},
		{
			name:      "without a data id",
			requestID: "2066ca19-c6f1-498a-be75-1923005edd06", ts: "1742505638683",
			manifest: "request-id:2066ca19-c6f1-498a-be75-1923005edd06;ts:1742505638683;",
			want:     "8a7b0cc777a8217c3bab41a50c95dc92debbc6f8448f1c967dfe10ac1cb8b894",
		},
		{
			name:     "with neither",
			ts:       "1766455693",
			manifest: "ts:1766455693;",
			want:     "379c9b5a6de87200383560ceadadde9c0c01007ca796c3228378101dacd44db1",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, "ts="+tt.ts+",v1="+tt.want,
				Sign("your_secret_key_here", tt.dataID, tt.requestID, tt.ts), "manifest %s", tt.manifest)
		})
	}
}

func TestUUID_IsOfVersion4(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for i := range uint64(1000) {
		id := uuidFrom(draws(1, forEnvelope, i))
		require.Regexp(t, `^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`, id)
		require.False(t, seen[id], "drawn twice")
		seen[id] = true
	}
}
