package httpserve_test

import "testing"

// What holds of HTTP/1.1 holds where net/http answers all of it, too.
func TestWithoutLane(t *testing.T) {
	for _, tt := range []struct {
		name string
		test func(*testing.T)
	}{
		{"HeaderBombs", TestHeaderBombs}, {"LengthsThatLie", TestLengthsThatLie},
		{"SlowCallersGoAway", TestSlowCallersGoAway}, {"SlowReaders", TestSlowReaders}, {"ConnectionLimit", TestConnectionLimit},
		{"DisconnectCancels", TestDisconnectCancels}, {"BodyDeadlineEndsWithTheBody", TestBodyDeadlineEndsWithTheBody},
		{"OnePort", TestOnePort}, {"NothingToSmuggleWith", TestNothingToSmuggleWith}, {"SlowCallersHarmNobody", TestSlowCallersHarmNobody},
		{"DrainAnswersWhatIsInProgress", TestDrainAnswersWhatIsInProgress}, {"DrainUnderLoad", TestDrainUnderLoad},
		{"DrainEndsLongRequestsWithAnAnswer", TestDrainEndsLongRequestsWithAnAnswer}, {"DrainCutsOffWhatDoesNotEnd", TestDrainCutsOffWhatDoesNotEnd},
		{"DrainDoesNotWaitForTheIdle", TestDrainDoesNotWaitForTheIdle},
	} {
		t.Run(tt.name, tt.test)
	}
}
