package testkit

import "context"

func stopRedis(context.Context) error { return nil }
