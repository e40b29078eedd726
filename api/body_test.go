package api

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestBody_FewLargeBodiesAreReadAtOnce(t *testing.T) {
	t.Parallel()
	b := newBodyReader()
	read := func(size int) (func(), error) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader(strings.Repeat("x", size)))
		body, release, err := b.read(r)
		if err == nil {
			require.Len(t, body, size)
		}
		return release, err
	}
	for range largeBodies {
		_, err := read(smallBody + 1)
		require.NoError(t, err)
	}
	_, err := read(smallBody + 1)
	var p *problem
	require.ErrorAs(t, err, &p)
	require.Equal(t, problemOverloaded, p.kind)
	require.Positive(t, p.retryAfter)
	release, err := read(smallBody - 1)
	require.NoError(t, err, "what a provider sends is never affected")
	release()

	<-b.large // one of them is done
	release, err = read(maxBody)
	require.NoError(t, err)
	_, err = read(smallBody + 1)
	require.Error(t, err)
	release()
	_, err = read(smallBody + 1)
	require.NoError(t, err, "a released body makes room")
}

func TestBody_NoMemoryIsTakenOnACallersWord(t *testing.T) {
	t.Parallel()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", io.MultiReader(strings.NewReader("x")))
	r.ContentLength = maxBody
	body, release, err := newBodyReader().read(r)
	defer release()
	require.NoError(t, err)
	require.LessOrEqual(t, cap(body), firstRead)
}

func TestBody_ThatDoesNotArriveIsATimeout(t *testing.T) {
	t.Parallel()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", late{})
	_, release, err := newBodyReader().read(r)
	defer release()
	var p *problem
	require.ErrorAs(t, err, &p)
	require.Equal(t, problemTimeout, p.kind)
	require.True(t, p.closes)
}

// late is a connection whose read deadline has passed.
type late struct{}

func (late) Read([]byte) (int, error) { return 0, os.ErrDeadlineExceeded }
