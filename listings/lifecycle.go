package listings

import (
	"fmt"
	"slices"
	"strings"
)

// State of a listing.
type State string

// The states of a listing's life.
const (
	Draft           State = "draft"
	AwaitingPayment State = "awaiting_payment"
	InReview        State = "in_review"
	Scheduled       State = "scheduled"
	Live            State = "live"
	Paused          State = "paused"
	Filled          State = "filled"
	Expired         State = "expired"
	Rejected        State = "rejected"
	Removed         State = "removed"
)

// States in the order of a listing's life.
func States() []State {
	return []State{Draft, AwaitingPayment, InReview, Scheduled, Live, Paused, Filled, Expired, Rejected, Removed}
}

// moves is the whole life: what may follow each state. The check, the tests
// and docs/listing-lifecycle.md come from this table.
var moves = map[State][]State{
	Draft:           {AwaitingPayment, InReview, Scheduled, Live, Rejected, Removed},
	AwaitingPayment: {Draft, InReview, Scheduled, Live, Rejected, Removed},
	InReview:        {Draft, AwaitingPayment, Scheduled, Live, Rejected, Removed},
	Scheduled:       {Draft, AwaitingPayment, Live, Rejected, Removed},
	Live:            {Paused, Filled, Expired, Rejected, Removed},
	Paused:          {Live, Filled, Expired, Rejected, Removed},
	Filled:          {Live, AwaitingPayment, InReview, Expired, Rejected, Removed},
	Expired:         {AwaitingPayment, InReview, Scheduled, Live, Rejected, Removed},
	Rejected:        {Draft, AwaitingPayment, InReview, Live, Removed},
	// A removal can be undone: back to where it was.
	Removed: {Draft, AwaitingPayment, InReview, Scheduled, Live, Paused, Filled, Expired, Rejected},
}

// MayMove reports whether a listing may go from one state to another.
func MayMove(from, to State) bool { return slices.Contains(moves[from], to) }

// Valid reports whether s is a state.
func (s State) Valid() bool { _, ok := moves[s]; return ok }

// Public reports whether a listing in this state has a page for visitors: a
// live one in full, the others as a closed notice.
func (s State) Public() bool {
	return s == Live || s == Paused || s == Filled || s == Expired
}

// Running reports whether seekers see or will see the listing in this posting.
func (s State) Running() bool { return s == Live || s == Paused || s == Scheduled }

// Mermaid draws the table for docs/listing-lifecycle.md.
func Mermaid() string {
	var b strings.Builder
	b.WriteString("stateDiagram-v2\n    [*] --> draft\n")
	for _, from := range States() {
		for _, to := range moves[from] {
			fmt.Fprintf(&b, "    %s --> %s\n", from, to)
		}
	}
	return b.String()
}
