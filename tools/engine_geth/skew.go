// Lies beside the standard library's package time in the test-only build of the engine (tools/engine --skewed):
// the wall clock is off by OCX_SKEW seconds. What measures spans (the monotonic clock) is left alone.

package time

import "syscall"

var skew = skewOfEnvironment()

func skewOfEnvironment() int64 {
	text, _ := syscall.Getenv("OCX_SKEW")
	sign := int64(1)
	if text != "" && text[0] == '-' {
		sign, text = -1, text[1:]
	}
	seconds := int64(0)
	for _, digit := range text {
		if digit < '0' || digit > '9' {
			panic("OCX_SKEW must be a whole number of seconds")
		}
		seconds = seconds*10 + int64(digit-'0')
	}
	return sign * seconds
}
