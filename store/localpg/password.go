package localpg

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
)

// scramVerifier is what PostgreSQL keeps of a password (pg_authid.rolpassword, in the
// form of RFC 5803), for initdb to take instead of the password. PostgreSQL itself would
// have each connection hash the password 4,096 times, which makes weak ones hard to
// guess. Ours is random, and each connection pays for a hash.
func scramVerifier(password string) (string, error) {
	const iterations, saltLength = 1, 16
	salt := make([]byte, saltLength)
	_, _ = rand.Read(salt) // never fails
	salted, err := pbkdf2.Key(sha256.New, password, salt, iterations, sha256.Size)
	if err != nil {
		return "", fmt.Errorf("hash the password: %w", err)
	}
	keyOf := func(text string) []byte {
		mac := hmac.New(sha256.New, salted)
		mac.Write([]byte(text))
		return mac.Sum(nil)
	}
	stored, base := sha256.Sum256(keyOf("Client Key")), base64.StdEncoding.EncodeToString
	return fmt.Sprintf("SCRAM-SHA-256$%d:%s$%s:%s", iterations, base(salt), base(stored[:]), base(keyOf("Server Key"))), nil
}
