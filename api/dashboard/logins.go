package dashboard

import "github.com/conciliar/conciliar/store"

// loginActions is how many of the latest actions with logins the page shows.
const loginActions = 50

// loginsView is the body of the page of logins.
type loginsView struct {
	Sessions []store.Session
	// Lately is what happened with logins.
	Lately table
}

var loginColumns = []column[store.OperatorAction]{
	{"logins.what", partTitle, func(a store.OperatorAction) cell { return wordCell("action", a.Action).over(plainCell(a.Note)) }},
	{"field.time", "", func(a store.OperatorAction) cell { return timeCell(a.At) }},
	{"field.operator", partState, func(a store.OperatorAction) cell { return plainCell(a.Actor) }},
	{"field.address", "", func(a store.OperatorAction) cell { return idCell(a.RemoteIP) }},
}

// logins lists the logins that have not ended, and what happened with logins lately.
func (d *dashboard) logins(c *call) error {
	var v loginsView
	var err error
	if v.Sessions, err = d.deps.Storage.Sessions(c.ctx); err != nil {
		return err
	}
	lately, err := d.deps.Storage.Actions(c.ctx, store.ActionFilter{TargetKind: store.TargetSession}, store.Page{Limit: loginActions})
	if err != nil {
		return err
	}
	v.Lately = tableOf("logins.lately", "logins.none", lately.Items, loginColumns...).unseen()
	return d.show(c, "logins", &page{Title: "nav.logins", Nav: "logins", Body: v})
}

// endLogin ends somebody's login, one's own included.
func (d *dashboard) endLogin(c *call, id int64) error {
	if err := d.deps.Storage.EndSession(c.ctx, id, c.actor()); err != nil {
		return err
	}
	return c.done("/dashboard/logins", "login_ended")
}
