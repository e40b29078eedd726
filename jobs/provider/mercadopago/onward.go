package mercadopago

import (
	"fmt"
	"slices"

	"github.com/conciliar/conciliar/jobs/provider"
)

// Onward are the topics whose deliveries are passed onward instead of only kept. Nil
// has none.
type Onward struct{ names []string }

// NewOnward returns the topics of these names. The error says which of them has an
// effect here: what is settled is told by the orders.
func NewOnward(names []string) (*Onward, error) {
	for i, name := range names {
		switch {
		case word(name) != name || name == "":
			return nil, fmt.Errorf("number %d is not the name of a topic", i+1)
		case name == topicTest || WorkOf(name, "") != provider.Keep:
			return nil, fmt.Errorf("%s has an effect here and is not passed onward", name)
		case slices.Contains(names[:i], name):
			return nil, fmt.Errorf("%s is there twice", name)
		}
	}
	return &Onward{names}, nil
}

// Has reports whether the topic so named in a delivery is one of them.
func (o *Onward) Has(name string) bool { return o != nil && slices.Contains(o.names, name) }

// PassOnward makes these the topics that are passed onward.
func (r *Receiver) PassOnward(topics *Onward) { r.onward.Store(topics) }
