package candidates

import (
	"github.com/google/uuid"

	"shingle/tenant"
)

// StopToken is the token of a digest's stop link.
func (s *Service) StopToken(board tenant.ID, alert uuid.UUID) string {
	return s.stopToken(board, alert)
}
