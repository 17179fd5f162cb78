package chain_test

import (
	"testing"

	"shingle/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }
