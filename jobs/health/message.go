package health

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// A NoticeState is what a message says of an alert.
type NoticeState string

// The states.
const (
	NoticeBegan    NoticeState = "began"
	NoticeReminder NoticeState = "reminder"
	NoticeEnded    NoticeState = "ended"
	// NoticeTest marks a message that an operator sent to see whether it arrives.
	NoticeTest NoticeState = "test"
)

// A Notice is what a message says of one alert.
type Notice struct {
	Code  string      `json:"code"`
	State NoticeState `json:"state"`
	// Health is empty for a condition that no running release knows.
	Health Level  `json:"health"`
	Reason string `json:"reason"`
	// Since is when the condition was first seen active; Until when it was first
	// seen inactive, nil while the alert is open.
	Since  time.Time       `json:"since"`
	Until  *time.Time      `json:"until"`
	Detail json.RawMessage `json:"detail"`
}

// A Message is the body of a message: Text for people, as Slack shows it,
// and the same as data.
type Message struct {
	Text string `json:"text"`
	// MessageID is the same when a message is sent again; 0 for a test.
	MessageID int64     `json:"message_id"`
	At        time.Time `json:"at"`
	Alerts    []Notice  `json:"alerts"`
}

// NewMessage groups what there is to tell at one time.
func NewMessage(at time.Time, notices []Notice) Message {
	lines := []string{headline(notices)}
	for _, n := range notices {
		lines = append(lines, "• "+line(n))
	}
	return Message{Text: escapeSlack(strings.Join(lines, "\n")), At: at.UTC(), Alerts: notices}
}

// NewTestMessage returns a message that reports no alert.
func NewTestMessage(at time.Time) Message {
	return Message{
		Text: "Conciliar: a test message. Alerts arrive here.", At: at.UTC(),
		Alerts: []Notice{{Code: "test", State: NoticeTest, Health: Healthy, Reason: "This is a test message.", Since: at.UTC(), Detail: json.RawMessage(`{}`)}},
	}
}

// headline counts by what is said: "Conciliar: 2 alerts began, 1 ended".
func headline(notices []Notice) string {
	var parts []string
	for _, state := range []NoticeState{NoticeBegan, NoticeReminder, NoticeEnded} {
		n := 0
		for _, notice := range notices {
			if notice.State == state {
				n++
			}
		}
		if n == 0 {
			continue
		}
		word := string(state)
		if state == NoticeReminder {
			word = "still open"
		}
		noun := ""
		if len(parts) == 0 {
			noun = "alerts "
			if n == 1 {
				noun = "alert "
			}
		}
		parts = append(parts, fmt.Sprintf("%d %s%s", n, noun, word))
	}
	return "Conciliar: " + strings.Join(parts, ", ")
}

func line(n Notice) string {
	since := "since " + n.Since.UTC().Format("2006-01-02 15:04 UTC")
	if n.State == NoticeEnded {
		lasted := "over"
		if n.Until != nil {
			lasted = "over after " + n.Until.Sub(n.Since).Round(time.Minute).String()
		}
		if n.Health == "" {
			lasted = n.Reason // not over, but nobody's any more
		}
		return fmt.Sprintf("%s: %s (%s)", n.Code, lasted, since)
	}
	text := fmt.Sprintf("%s, %s: %s (%s", n.Code, n.Health, n.Reason, since)
	if words := describe(n.Detail); words != "" {
		text += "; " + words
	}
	return text + fmt.Sprintf(") → docs/playbooks/%s.md", n.Code)
}

// describe writes a detail's members in a stable order.
func describe(detail json.RawMessage) string {
	var members map[string]any
	if json.Unmarshal(detail, &members) != nil {
		return ""
	}
	parts := flatten("", members)
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}

func flatten(prefix string, members map[string]any) []string {
	var parts []string
	for name, value := range members {
		switch v := value.(type) {
		case map[string]any:
			parts = append(parts, flatten(prefix+name+" ", v)...)
		case nil:
		default:
			parts = append(parts, fmt.Sprintf("%s%s %v", prefix, name, v))
		}
	}
	return parts
}

// escapeSlack keeps Slack from reading a mention or a link out of a text.
func escapeSlack(text string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(text)
}
