package store

import (
	"context"
	"time"
)

// RollUpAhead is RollUp as it will be when so much time has passed.
func (s *Store) RollUpAhead(ctx context.Context, span, ahead time.Duration) (RollUp, error) {
	return s.rollUp(ctx, span, ahead)
}

// PoolStrain is what a heart tells of its pool.
var PoolStrain = poolStrain
