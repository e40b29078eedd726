package simulator

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
)

// Sign returns the x-signature header of a notification: the HMAC-SHA256, under
// the application's secret, of the manifest
//
//	id:<dataID>;request-id:<requestID>;ts:<ts>;
//
// (Webhooks page, "Validate notification origin"). An empty dataID or
// requestID leaves its pair out of the manifest. ts is taken as it is: seconds
// or milliseconds since 1970, both of which Mercado Pago sends.
func Sign(secret, dataID, requestID, ts string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	if dataID != "" {
		mac.Write([]byte("id:" + dataID + ";"))
	}
	if requestID != "" {
		mac.Write([]byte("request-id:" + requestID + ";"))
	}
	mac.Write([]byte("ts:" + ts + ";"))
	return "ts=" + ts + ",v1=" + hex.EncodeToString(mac.Sum(nil))
}

// uuidFrom draws a UUID of version 4.
func uuidFrom(chance *rand.Rand) string {
	high, low := chance.Uint64(), chance.Uint64()
	high = high&^0xf000 | 0x4000
	low = low&^(0xc<<60) | 0x8<<60
	return fmt.Sprintf("%08x-%04x-%04x-%04x-%012x",
		high>>32, high>>16&0xffff, high&0xffff, low>>48, low&0xffff_ffff_ffff)
}
