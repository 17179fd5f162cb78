package web

import (
	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"
)

// Engines are the two engines that New puts behind hosts, for tests that walk
// all that is mounted, whichever table it came from.
func Engines(p Parts) (platform, board *gin.Engine, err error) {
	watch := measured(prometheus.NewRegistry(), p.Tracing, p.Log)
	if platform, err = p.platformEngine(watch); err != nil {
		return nil, nil, err
	}
	board, err = p.boardEngine(watch)
	return platform, board, err
}
