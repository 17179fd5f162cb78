// Command stopshared ends the servers that test processes share, unless some
// still use them. It owns nothing but that call; see testkit.StopShared.
package main

import (
	"fmt"
	"os"

	"shingle/internal/testkit"
)

func main() {
	if err := testkit.StopShared(); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "stopping the test servers:", err)
		os.Exit(1)
	}
}
