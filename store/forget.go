package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// A Forget is what is asked for by forgetting a payer: one of its names.
type Forget struct {
	// PayerID is the provider's id of the payer, Email an e-mail address, and Order the
	// reference of an order that was paid. One of them is given.
	PayerID, Email, Order string
	By                    Actor
	// DryRun counts and changes nothing.
	DryRun bool
	// Progress, which may be nil, is told how much of the rows has been looked at.
	Progress func(share float64, doing string)
}

// A Forgotten is what forgetting a payer came to.
type Forgotten struct {
	DryRun bool `json:"dry_run"`
	// Names is by how many ids, e-mail addresses and documents the payer is known.
	Names int `json:"names"`
	// Payments are the ids of the payer's payments. Their ledger rows stay.
	Payments []string `json:"payments"`
	// Emptied and Replaced are how many rows of each table were: those whose documents
	// went, and those of which words were replaced.
	Emptied  map[string]int `json:"emptied"`
	Replaced map[string]int `json:"replaced"`
	// Mentions are what people wrote that names the payer: it is not changed.
	Mentions []Mention `json:"mentions"`
	// Open are the events that have to end first.
	Open []int64 `json:"open_events"`
}

// A Mention is a text that names a payer who is forgotten.
type Mention struct {
	Table  string `json:"table"`
	Column string `json:"column"`
	// Key is the row's primary key.
	Key string `json:"key"`
}

// An OpenEventsError means that events of a payer's payments have not ended, so that
// what names the payer is still needed.
type OpenEventsError struct{ Events []int64 }

// Error implements error.
func (e *OpenEventsError) Error() string {
	const most = 10
	shown, rest := e.Events, ""
	if len(shown) > most {
		shown, rest = shown[:most], fmt.Sprintf(" and %d more", len(e.Events)-most)
	}
	return "nothing was forgotten: these events of the payer's have not ended, or have an open dead letter: " +
		strings.Trim(fmt.Sprint(shown), "[]") + rest
}

// Problem classifies the error for the caller.
func (e *OpenEventsError) Problem() Problem {
	return Problem{Class: Conflict, Code: "state_conflict", Text: capitalised(e.Error()) + ".", Args: []any{"id", e.Events[0]}}
}

// A forgottenPayment is a payment of a payer who is forgotten.
type forgottenPayment struct{ source, id string }

// Forget erases what names a payer from everything that is kept, and keeps rows by
// which every later write knows the payer again. Ledger rows stay. The error is an
// *OpenEventsError while an event of the payer's has not ended, and wraps
// ErrOrderNotFound when nothing was paid under the order's reference. Interrupted, it
// is done to its end by the same call again.
//
// The payer is whom the payments name that were asked for, by id, e-mail address or
// document: a guest and an account with one address are one.
func (s *Store) Forget(ctx context.Context, f Forget) (Forgotten, error) {
	done := Forgotten{
		DryRun: f.DryRun, Payments: []string{}, Emptied: map[string]int{}, Replaced: map[string]int{}, Mentions: []Mention{}, Open: []int64{},
	}
	if s.readPayers == nil {
		return done, errors.New("this store cannot read who a document's payer is")
	}
	if f.Progress == nil {
		f.Progress = func(float64, string) {}
	}
	payers, payments, err := s.findPayer(ctx, f)
	if err != nil {
		return done, wrap(err, "find the payer")
	}
	match := newPayerMatch(payers, payments)
	done.Names = len(payers.IDs) + len(payers.Emails) + len(payers.Documents)
	for _, p := range payments {
		done.Payments = append(done.Payments, p.id)
	}
	if done.Open, err = s.openEventsOf(ctx, s.pool, match); err != nil {
		return done, wrap(err, "events of the payer")
	}
	if !f.DryRun {
		if len(done.Open) > 0 {
			return done, &OpenEventsError{done.Open}
		}
		if err := s.markForgotten(ctx, f.By, payers, payments, match); err != nil {
			return done, err
		}
	}
	for i, e := range erasures {
		f.Progress(float64(len(erasures)+i)/float64(2*len(erasures)), e.table)
		if err := s.erase(ctx, e, match, &done); err != nil {
			return done, wrap(err, "forget in %s", e.table)
		}
	}
	f.Progress(1, "done")
	return done, nil
}

// findPayer finds everything that the payer is named by, and the payer's payments. It
// looks twice: a payer's id leads to an e-mail address, and that to payments without
// an id. A document's number that stands in payments of others too, such as that of a
// family's card, tells nobody apart.
func (s *Store) findPayer(ctx context.Context, f Forget) (Payers, []forgottenPayment, error) {
	var payers Payers
	var payments []forgottenPayment
	if f.PayerID != "" {
		payers.IDs = []string{f.PayerID}
	}
	if f.Email != "" {
		payers.Emails = []string{strings.ToLower(f.Email)}
	}
	if f.Order != "" {
		var err error
		if payments, err = s.paymentsOfOrder(ctx, f.Order); err != nil {
			return payers, nil, err
		}
		if len(payments) == 0 {
			return payers, nil, ErrOrderNotFound.With(f.Order)
		}
	}
	shared := map[string]bool{}
	for look := range 2 {
		known := newPayerMatch(payers, payments)
		asked := payers
		for i, from := range payerDocuments {
			f.Progress(float64(2*look+i)/float64(4*len(payerDocuments)), from.doing)
			err := s.eachDocument(ctx, from, func(p forgottenPayment, document []byte) {
				theirs := known.payments[p.source+"/"+p.id]
				if !theirs && !known.mayName(document) {
					return
				}
				found := s.readPayers(p.source, document)
				if !theirs && !sharesName(asked, found) {
					for _, number := range found.Documents {
						shared[number] = true
					}
					return
				}
				if look > 0 { // whether others have it too would not be found out
					found.Documents = nil
				}
				payers = joinPayers(payers, found)
				if !slices.Contains(payments, p) {
					payments = append(payments, p)
				}
			})
			if err != nil {
				return payers, nil, err
			}
		}
	}
	payers.Documents = slices.DeleteFunc(payers.Documents, func(number string) bool { return shared[number] })
	slices.SortFunc(payments, func(a, b forgottenPayment) int {
		return slices.Compare([]string{a.source, a.id}, []string{b.source, b.id})
	})
	return payers, payments, nil
}

func (s *Store) paymentsOfOrder(ctx context.Context, reference string) ([]forgottenPayment, error) {
	rows, _ := s.pool.Query(ctx, `
		SELECT source, payment_id FROM payments WHERE order_reference = $1
		UNION
		SELECT source, payment_id FROM payment_logs WHERE order_reference = $1
		UNION
		SELECT source, payment_id FROM odd_payments WHERE order_reference = $1`, text(reference))
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (p forgottenPayment, err error) {
		return p, row.Scan(&p.source, &p.id)
	})
}

// sharesName reports whether two documents name one payer.
func sharesName(a, b Payers) bool {
	among := func(list, other []string) bool {
		return slices.ContainsFunc(list, func(word string) bool { return slices.Contains(other, word) })
	}
	return among(a.IDs, b.IDs) || among(a.Emails, b.Emails)
}

func joinPayers(a, b Payers) Payers {
	join := func(list, other []string) []string {
		list = append(slices.Clone(list), other...)
		slices.Sort(list)
		return slices.Compact(list)
	}
	return Payers{IDs: join(a.IDs, b.IDs), Emails: join(a.Emails, b.Emails), Documents: join(a.Documents, b.Documents)}
}

// A documentSource is where documents stand that name payers, one statement for a
// batch of them: the key, the payment, the document.
type documentSource struct{ doing, statement string }

// payerDocuments are where payments are kept as a provider answered them. In earlier
// releases the body of a reconciliation's event was one, too.
var payerDocuments = []documentSource{
	{"payments", `
		SELECT source || '/' || payment_id, source, payment_id, raw FROM payments
		WHERE (source, payment_id) > (split_part($1, '/', 1), substr($1, strpos($1, '/') + 1)) AND raw <> ''
		ORDER BY source, payment_id LIMIT $2`},
	{"webhook_queue", eventDocuments("webhook_queue")},
	{"webhook_archive", eventDocuments("webhook_archive")},
}

func eventDocuments(table string) string {
	return `
		SELECT id::text, source, resource_id, coalesce(resource, payload) FROM ` + table + `
		WHERE id > coalesce(nullif($1, ''), '0')::bigint AND resource_id <> ''
		  AND work IN ('` + WorkPayment + `', '` + WorkFraudAlert + `') AND (resource IS NOT NULL OR origin = '` + OriginReconciliation + `')
		ORDER BY id LIMIT $2`
}

// forgetBatch is how many rows are looked at in one statement.
const forgetBatch = 1000

func (s *Store) eachDocument(ctx context.Context, from documentSource, each func(p forgottenPayment, document []byte)) error {
	for after, rest := "", forgetBatch; rest == forgetBatch; {
		rest = 0
		rows, _ := s.pool.Query(ctx, from.statement, after, forgetBatch)
		var p forgottenPayment
		var document []byte
		_, err := pgx.ForEachRow(rows, []any{&after, &p.source, &p.id, &document}, func() error {
			rest++
			each(p, document)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// openEventsOf are the events about the payer that have not ended.
func (s *Store) openEventsOf(ctx context.Context, q querier, match *payerMatch) ([]int64, error) {
	rows, _ := q.Query(ctx, `
		SELECT t.id, t.source, t.resource_id, t.payload, coalesce(t.resource, ''), t.query FROM webhook_queue t
		WHERE `+openEvent+` ORDER BY t.id`)
	open := []int64{}
	var id int64
	var p forgottenPayment
	var payload, resource []byte
	var query string
	_, err := pgx.ForEachRow(rows, []any{&id, &p.source, &p.id, &payload, &resource, &query}, func() error {
		if match.payments[p.source+"/"+p.id] || match.names(payload) || match.names(resource) || match.names([]byte(query)) {
			open = append(open, id)
		}
		return nil
	})
	return open, err
}

// forgetLockWait is how long the writers of documents are waited for, behind which
// others then wait.
const forgetLockWait = `SET LOCAL lock_timeout = '5s'`

// markForgotten keeps the rows by which every later write knows the payer, and the
// audit row. The lock waits for the writers that have not seen the rows, so that what
// they wrote is found; backups and readers are not in its way.
func (s *Store) markForgotten(ctx context.Context, by Actor, payers Payers, payments []forgottenPayment, match *payerMatch) error {
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, forgetLockWait); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `LOCK TABLE webhook_queue, payments, webhook_refused, report_file_parts IN SHARE ROW EXCLUSIVE MODE`); err != nil {
			return err
		}
		open, err := s.openEventsOf(ctx, tx, match)
		if err != nil {
			return err
		}
		if len(open) > 0 {
			return &OpenEventsError{open}
		}
		var sources, ids []string
		for _, p := range payments {
			sources, ids = append(sources, p.source), append(ids, p.id)
		}
		hashes, err := s.hashPayers(ctx, tx, payers)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `INSERT INTO forgotten_payers (hash) SELECT DISTINCT unnest($1::bytea[]) ON CONFLICT DO NOTHING`, hashes); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `
			INSERT INTO forgotten_payments (source, payment_id) SELECT * FROM unnest($1::text[], $2::text[])
			ON CONFLICT DO NOTHING`, sources, ids); err != nil {
			return err
		}
		return record(ctx, tx, act{by: by, action: ActionForget, kind: TargetPayer, count: len(payments)})
	})
	return wrap(err, "forget a payer")
}
