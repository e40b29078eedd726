package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"
)

// An object is a JSON object as a call's body, its members not read yet.
type object map[string]json.RawMessage

// readObject reads the call's body as one JSON object with no member but the
// known ones. Unlike encoding/json alone it takes names as they are written and
// refuses one that is there twice: what two readers would understand in two
// ways must not decide about money.
func (b *bodyReader) readObject(r *http.Request, known ...string) (object, error) {
	if err := checkMediaType(r.Header); err != nil {
		return nil, err
	}
	body, release, err := b.read(r)
	defer release()
	if err != nil {
		return nil, err
	}
	return parseObject(body, known...)
}

func checkMediaType(h http.Header) error {
	if encoding := h.Get("Content-Encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") {
		return newProblem(problemMediaType, "A body with a Content-Encoding is not supported.")
	}
	contentType := h.Get("Content-Type")
	if contentType == "" {
		return nil
	}
	media, _, err := mime.ParseMediaType(contentType)
	if err != nil || media != "application/json" {
		return newProblem(problemMediaType, fmt.Sprintf("The Content-Type is %q; application/json is expected.", clip(contentType, 64)))
	}
	return nil
}

func parseObject(body []byte, known ...string) (object, error) {
	dec := json.NewDecoder(bytes.NewReader(body))
	first, err := dec.Token()
	if err != nil {
		return nil, invalidJSON(err, dec)
	}
	if first != json.Delim('{') {
		return nil, newProblem(problemInvalidJSON, "The body is not a JSON object.")
	}
	members := object{}
	for dec.More() {
		token, err := dec.Token()
		if err != nil {
			return nil, invalidJSON(err, dec)
		}
		name, ok := token.(string)
		if !ok {
			return nil, newProblem(problemInvalidJSON, fmt.Sprintf("The body is not valid JSON at byte %d.", dec.InputOffset()))
		}
		if !slices.Contains(known, name) {
			return nil, newProblem(problemInvalidField,
				fmt.Sprintf("The field %q is unknown. Known fields: %s.", clip(name, 64), strings.Join(known, ", ")))
		}
		if _, twice := members[name]; twice {
			return nil, newProblem(problemInvalidField, fmt.Sprintf("The field %q appears more than once.", name))
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, invalidJSON(err, dec)
		}
		members[name] = value
	}
	if _, err := dec.Token(); err != nil {
		return nil, invalidJSON(err, dec)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, newProblem(problemInvalidJSON, fmt.Sprintf("Something follows the JSON object, at byte %d.", dec.InputOffset()))
	}
	return members, nil
}

func invalidJSON(err error, dec *json.Decoder) *problem {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		if dec.InputOffset() == 0 {
			return newProblem(problemInvalidJSON, "The body is empty; a JSON object is expected.")
		}
		return newProblem(problemInvalidJSON, "The body ends in the middle of the JSON object.")
	}
	return newProblem(problemInvalidJSON, fmt.Sprintf("The body is not valid JSON at byte %d or soon after.", dec.InputOffset()))
}

// text returns a member that must be there and be a string. hint says how the
// value should look.
func (o object) text(name, hint string) (string, error) {
	raw, ok := o[name]
	if !ok {
		return "", newProblem(problemInvalidField, fmt.Sprintf("The field %q is missing; it should look like %s.", name, hint))
	}
	if raw[0] != '"' {
		return "", newProblem(problemInvalidField, fmt.Sprintf("The field %q is %s; it must be a string like %s.", name, jsonType(raw), hint))
	}
	var value string
	if err := json.Unmarshal(raw, &value); err != nil {
		return "", newProblem(problemInvalidField, fmt.Sprintf("The field %q is not a valid JSON string.", name)).because(err)
	}
	return value, nil
}

func jsonType(raw json.RawMessage) string {
	switch raw[0] {
	case '{':
		return "an object"
	case '[':
		return "an array"
	case 't', 'f':
		return "a boolean"
	case 'n':
		return "null"
	case '"':
		return "a string"
	}
	return "a number"
}
