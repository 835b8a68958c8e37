//go:build !race

package faketime

const underRaceDetector = false
