package main

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/conciliar/conciliar/config"
	"github.com/conciliar/conciliar/jobs/provider/mercadopago"
)

// paymentID is what an id may be made of: nothing that a signature's manifest,
// a URL or a shell reads otherwise.
var paymentID = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

func newSimulateSign(std stdio) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "sign",
		Short: "Print a curl command that delivers one signed webhook",
		Long: `Prints a curl command with the notification of one payment, signed as Mercado
Pago signs: HMAC-SHA256 over data.id of the query, x-request-id and ts.`,
		Example: `  conciliar simulate sign --secret s3cret --id 123 | sh
  conciliar simulate sign --secret s3cret --id 123 --header-only`,
		Args: noArgs,
	}
	target := cmd.Flags().String("url", "http://127.0.0.1:8080/api/checkout/webhook", "where the webhook goes")
	id := cmd.Flags().String("id", "", "the payment's id (required)")
	secret := cmd.Flags().String("secret", "", "the signing secret; the first of MERCADOPAGO_WEBHOOK_SECRETS")
	headerOnly := cmd.Flags().Bool("header-only", false, "print the two headers instead")
	_ = cmd.MarkFlagRequired("id")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		given, err := std.simulated(cmd)
		if err != nil {
			return err
		}
		*secret = cmp.Or(*secret, config.First(given.WebhookSecrets))
		switch {
		case !paymentID.MatchString(*id):
			return usagef("--id takes letters, digits, - and _ only, as Mercado Pago's ids do")
		case strings.TrimSpace(*secret) == "":
			return errNoSigningSecret
		}
		d := sign(*secret, *id, time.Now())
		if *headerOnly {
			_, err := fmt.Fprintf(std.out, "x-request-id: %s\nx-signature: %s\n", d.requestID, d.signature)
			return err
		}
		curl, err := d.curl(*target)
		if err != nil {
			return usageError{err}
		}
		_, err = fmt.Fprintln(std.out, curl)
		return err
	}
	return cmd
}

// A signedDelivery is one webhook about a payment, signed as Mercado Pago does.
type signedDelivery struct {
	paymentID string
	requestID string
	signature string
}

// sign signs a delivery about a payment. id is made of what paymentID allows.
func sign(secret, id string, now time.Time) signedDelivery {
	requestID := rand.Text()
	return signedDelivery{
		paymentID: id, requestID: requestID,
		signature: mercadopago.Sign(secret, id, requestID, strconv.FormatInt(now.Unix(), 10)),
	}
}

// curl is a command for a shell that delivers it to target, whose own
// parameters stay.
func (d signedDelivery) curl(target string) (string, error) {
	u, err := parseURL(target)
	if err != nil {
		return "", errors.New("the target must be a URL such as http://127.0.0.1:8080/api/checkout/webhook")
	}
	u.RawQuery = strings.TrimPrefix(u.RawQuery+"&data.id="+d.paymentID+"&type=payment", "&")
	return fmt.Sprintf(`curl -X POST %s \
    -H 'Content-Type: application/json' \
    -H 'x-request-id: %s' \
    -H 'x-signature: %s' \
    -d '{"action":"payment.updated","api_version":"v1","data":{"id":"%s"},"live_mode":true,"type":"payment"}'`,
		shellQuoted(u.String()), d.requestID, d.signature, d.paymentID), nil
}

// shellQuoted makes text one word of a POSIX shell.
func shellQuoted(text string) string {
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}
