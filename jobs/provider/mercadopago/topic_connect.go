package mercadopago

import "github.com/conciliar/conciliar/jobs/provider"

const (
	topicConnect = "mp-connect"

	actionAuthorized   = "application.authorized"
	actionDeauthorized = "application.deauthorized"
)

// connectTopic tells that a seller linked its account to a marketplace's application,
// or took that back: then its access token is worth nothing (the OAuth page). Nothing
// is fetched.
var connectTopic = topic{
	names: []string{topicConnect},
	work:  provider.Authorization,
}

// Authorization reads the action of a notification about a seller's consent.
func (*Client) Authorization(action string) (given, told bool) {
	switch action {
	case actionAuthorized:
		return true, true
	case actionDeauthorized:
		return false, true
	}
	return false, false
}
