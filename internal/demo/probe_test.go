package demo

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

func TestProbe(t *testing.T) {
	b, err := load(os.Getenv("B"))
	if err != nil {
		t.Fatal(err)
	}
	live, lo, hi := 0, 9999, 0
	for _, l := range b.Listings {
		if l.State == "live" {
			live++
		}
		n := len(strings.Fields(plain(l.Description)))
		lo, hi = min(lo, n), max(hi, n)
	}
	fmt.Println(len(b.Companies), len(b.Listings), live, lo, hi)
	fmt.Println(b.Listings[9].Description, b.Listings[9].Reference, b.Listings[9].Age, b.Listings[9].EndsIn)
}

func plain(s string) string {
	var out strings.Builder
	in := false
	for _, r := range s {
		switch {
		case r == '<':
			in = true
		case r == '>':
			in = false
			out.WriteByte(' ')
		case !in:
			out.WriteRune(r)
		}
	}
	return out.String()
}
