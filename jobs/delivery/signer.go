package delivery

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// A Signer signs messages after the Standard Webhooks specification, with one
// signature for each secret: during a rotation receivers know either. It cannot
// print its secrets.
type Signer struct {
	sign func(id string, at time.Time, body []byte) (string, error)
}

// NewSigner returns a signer with the secrets (whsec_ and base64).
func NewSigner(secrets []string) (*Signer, error) {
	if len(secrets) == 0 {
		return nil, errors.New("a signer needs a secret")
	}
	hooks := make([]*standardwebhooks.Webhook, len(secrets))
	for i, secret := range secrets {
		hook, err := standardwebhooks.NewWebhook(secret)
		if err != nil {
			return nil, fmt.Errorf("secret %d is not base64 after whsec_", i+1)
		}
		hooks[i] = hook
	}
	return &Signer{sign: func(id string, at time.Time, body []byte) (string, error) {
		signatures := make([]string, len(hooks))
		for i, hook := range hooks {
			var err error
			if signatures[i], err = hook.Sign(id, at, body); err != nil {
				return "", err
			}
		}
		return strings.Join(signatures, " "), nil
	}}, nil
}

// addTo adds the headers of the specification to the message's.
func (s *Signer) addTo(header http.Header, message Message) error {
	signature, err := s.sign(message.ID, message.At, message.Body)
	if err != nil {
		return err
	}
	header.Set(standardwebhooks.HeaderWebhookID, message.ID)
	header.Set(standardwebhooks.HeaderWebhookTimestamp, strconv.FormatInt(message.At.Unix(), 10))
	header.Set(standardwebhooks.HeaderWebhookSignature, signature)
	return nil
}
