package site

import (
	"github.com/gin-gonic/gin"

	"shingle/themes/looks"
)

// PreviewHome renders the board's home in a look that is not published. The
// look's addresses must be ones that the caller serves.
func (s *Site) PreviewHome(c *gin.Context, look *looks.Ready) error {
	v, err := s.view(c.Request.Context())
	if err != nil {
		return err
	}
	shown := *look
	shown.Legal = v.look.Legal
	v.look, v.still = &shown, true
	return s.homeIn(c, v)
}
