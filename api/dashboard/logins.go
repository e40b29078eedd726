package dashboard

import "github.com/conciliar/conciliar/store"

// loginActions is how many of the latest actions with logins the page shows.
const loginActions = 50

// loginsView is the body of the page of logins.
type loginsView struct {
	Sessions []store.Session
	Actions  []store.OperatorAction
}

// logins lists the logins that have not ended, and what happened with logins lately.
func (d *dashboard) logins(c *call) error {
	var v loginsView
	var err error
	if v.Sessions, err = d.deps.Storage.Sessions(c.ctx); err != nil {
		return err
	}
	if v.Actions, err = d.deps.Storage.LoginActions(c.ctx, loginActions); err != nil {
		return err
	}
	return d.show(c, "logins", &page{Title: "nav.logins", Nav: "logins", Body: v})
}

// endLogin ends somebody's login, one's own included.
func (d *dashboard) endLogin(c *call, id int64) error {
	if err := d.deps.Storage.EndSession(c.ctx, id, c.actor()); err != nil {
		return err
	}
	return c.redirect("/dashboard/logins?done=login_ended")
}
