package store

import (
	"encoding/base64"
	"unicode/utf8"
)

// Encodings of a Content.
const (
	EncodingText   = "text"
	EncodingBase64 = "base64"
)

// A Content is bytes as a person and JSON can take them.
type Content struct {
	// Encoding is EncodingText for bytes that are UTF-8, else EncodingBase64
	// (RFC 4648, section 4, with padding).
	Encoding string `json:"encoding"`
	Data     string `json:"data"`
	// Bytes is the length of what Data stands for.
	Bytes int `json:"bytes"`
}

func newContent(b []byte) Content {
	if utf8.Valid(b) {
		return Content{Encoding: EncodingText, Data: string(b), Bytes: len(b)}
	}
	return Content{Encoding: EncodingBase64, Data: base64.StdEncoding.EncodeToString(b), Bytes: len(b)}
}
