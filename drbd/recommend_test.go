package drbd

import "testing"

// What is recommended must pass the check that an agent makes.
func TestWhatIsRecommendedIsWhatIsRequired(t *testing.T) {
	for _, family := range []Family{Family84, Family9} {
		q := Requirements{Family: family, Resource: "r0", HandlerCommand: "/usr/sbin/sbagent handler", Handlers: RequiredHandlers()}
		dump, err := ParseConfig(q.Recommended())
		if err != nil {
			t.Fatalf("%s: %v\n%s", family, err, q.Recommended())
		}
		for _, v := range q.CheckFiles(dump) {
			t.Errorf("%s: %s", family, v)
		}
	}
}
