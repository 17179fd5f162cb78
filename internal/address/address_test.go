package address_test

import (
	"testing"

	"shingle/internal/address"
	"shingle/listings"
)

// One address has one form, wherever it is stored.
func TestFold(t *testing.T) {
	t.Parallel()
	for typed, want := range map[string][2]string{
		" Ada@Bücher.DE ": {"ada@xn--bcher-kva.de", ""}, "ada@xn--bcher-kva.de": {"ada@xn--bcher-kva.de", ""}, "a+b@x.example": {"a+b@x.example", ""},
		"": {"", address.Missing}, "ada": {"", address.Shape}, "ada@localhost": {"", address.Shape}, "Ada <ada@x.example>": {"", address.Shape},
		"jörg@x.example": {"", address.Letters}, "a@[192.0.2.1]": {"", address.Shape},
	} {
		if folded, wrong := address.Fold(typed); folded != want[0] || wrong != want[1] {
			t.Errorf("%q: %q %q, want %q", typed, folded, wrong, want)
		}
		if got := listings.FoldEmail(typed); got != want[0] {
			t.Errorf("a listing's %q is %q", typed, got)
		}
	}
}
