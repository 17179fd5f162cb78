package testkit

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// Main runs a package's tests and then fails it when goroutines are left:
//
//	func TestMain(m *testing.M) { testkit.Main(m) }
func Main(m *testing.M, ignore ...goleak.Option) {
	code := m.Run()
	if db := opened.Load(); db != nil {
		_ = db.Close()
	}
	if code == 0 {
		if err := goleak.Find(ignore...); err != nil {
			_, _ = fmt.Fprintf(os.Stderr, "goroutines outlive the tests: %v\n", err)
			code = 1
		}
	}
	os.Exit(code)
}
