package jobs

import (
	"fmt"
	"maps"
	"slices"

	"github.com/riverqueue/river"

	"github.com/conciliar/conciliar/jobs/provider"
)

// kinds has the kind of event job for every work that has one.
var kinds = map[provider.Work]kind{
	provider.Settle: kindOf[PaymentArgs]((*eventShell).fetch),
	provider.Follow: kindOf[FollowArgs]((*eventShell).fetch),

	provider.Authorization: kindOf[AuthorizationArgs]((*eventShell).authorize),

	provider.FraudAlert: kindOf[FraudAlertArgs]((*eventShell).fetch),

	provider.Forward: kindOf[ForwardArgs]((*eventShell).forward),
}

// A kind is what of a kind of event job differs from the others.
type kind struct {
	// name is the kind's in the database.
	name string
	// add adds the kind's worker, within the shell.
	add func(*river.Workers, *eventShell)
}

func kindOf[T river.JobArgs, P eventArgs[T]](work eventWork) kind {
	var args T
	return kind{
		name: args.Kind(),
		add: func(workers *river.Workers, shell *eventShell) {
			river.AddWorker(workers, &eventWorker[T, P]{eventShell: shell, work: work})
		},
	}
}

// kindOfWork is the name of the kind of job of an event that asks for the work.
func kindOfWork(work string) (string, error) {
	k, ok := kinds[provider.Work(work)]
	if !ok {
		return "", fmt.Errorf("no kind of job does the work %q", work)
	}
	return k.name, nil
}

// kindNames are the names of all kinds of event jobs.
func kindNames() []string {
	var names []string
	for _, k := range kinds {
		names = append(names, k.name)
	}
	slices.Sort(names)
	return names
}

// addEventWorkers adds the workers of all kinds of event jobs. A process that was not
// told of senders leaves what is forwarded to one that was.
func addEventWorkers(workers *river.Workers, shell *eventShell) {
	for _, work := range slices.Sorted(maps.Keys(kinds)) {
		if work == provider.Forward && shell.sources == nil {
			continue
		}
		kinds[work].add(workers, shell)
	}
}
