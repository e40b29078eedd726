// Package dashboard is what a merchant's operator sees and presses: pages that
// the server renders, below /dashboard.
//
// Each page is one Go file and one template in pages/ of the same name. The
// texts are in messages/, one file for each language; style and script are in
// assets/. A page works without the script, which only refreshes it.
//
// Handlers return errors. Pages are rendered whole before the first byte is
// sent, so a failure is an error page and never half of another one.
//
// Who may see the pages is decided by package api, which also protects the
// unsafe methods against other sites and sets the security headers.
package dashboard
