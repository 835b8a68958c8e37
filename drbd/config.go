package drbd

import (
	"fmt"
	"strings"
)

// Section is one pair of braces in DRBD's configuration language, with what
// stands before it. The whole text is a Section without a keyword.
type Section struct {
	Keyword  string
	Args     []string
	Options  []Option
	Sections []Section
}

// Option is one statement: a keyword and its values.
type Option struct {
	Keyword string
	Values  []string
}

// maxDepth is deeper than any configuration of DRBD nests.
const maxDepth = 16

// ParseConfig reads text in DRBD's configuration language, as "drbdadm dump"
// and "drbdsetup show" print it.
func ParseConfig(text string) (Section, error) {
	tokens, err := configTokens(text)
	if err != nil {
		return Section{}, fmt.Errorf("read DRBD configuration: %w", err)
	}
	// The open sections, outermost first: a stack rather than recursion.
	open := []Section{{}}
	var words []string
	for _, t := range tokens {
		top := &open[len(open)-1]
		switch {
		case t.mark == 0:
			words = append(words, t.text)
			continue
		case t.mark == ';' && len(words) > 0:
			top.Options = append(top.Options, Option{Keyword: words[0], Values: words[1:]})
		case t.mark == '{' && len(words) > 0 && len(open) < maxDepth:
			open = append(open, Section{Keyword: words[0], Args: words[1:]})
		case t.mark == '}' && len(words) == 0 && len(open) > 1:
			done := *top
			open = open[:len(open)-1]
			parent := &open[len(open)-1]
			parent.Sections = append(parent.Sections, done)
		case t.mark == ';':
		default:
			return Section{}, fmt.Errorf("read DRBD configuration: %q does not fit on line %d", t.mark, t.line)
		}
		words = nil
	}
	if len(open) > 1 || len(words) > 0 {
		return Section{}, fmt.Errorf("read DRBD configuration: it ends in the middle of a statement or section")
	}
	return open[0], nil
}

// configToken is a word, or one of the marks { } ;.
type configToken struct {
	text string
	mark rune
	line int
}

func configTokens(text string) ([]configToken, error) {
	var tokens []configToken
	for n, line := range strings.Split(text, "\n") {
		for line = strings.TrimLeft(line, " \t\r"); line != "" && line[0] != '#'; line = strings.TrimLeft(line, " \t\r") {
			var t configToken
			var err error
			if t, line, err = nextToken(line); err != nil {
				return nil, fmt.Errorf("line %d: %w", n+1, err)
			}
			t.line = n + 1
			tokens = append(tokens, t)
		}
	}
	return tokens, nil
}

// nextToken cuts the token at the start of line off. Line is not empty and
// starts with neither blank nor comment.
func nextToken(line string) (configToken, string, error) {
	switch line[0] {
	case '{', '}', ';':
		return configToken{mark: rune(line[0])}, line[1:], nil
	case '"':
		return quotedToken(line)
	}
	end := strings.IndexAny(line, " \t\r{};\"#")
	if end < 0 {
		end = len(line)
	}
	return configToken{text: line[:end]}, line[end:], nil
}

func quotedToken(line string) (configToken, string, error) {
	var b strings.Builder
	for i := 1; i < len(line); i++ {
		switch c := line[i]; {
		case c == '"':
			return configToken{text: b.String()}, line[i+1:], nil
		case c == '\\' && i+1 < len(line):
			i++
			b.WriteByte(line[i])
		default:
			b.WriteByte(c)
		}
	}
	return configToken{}, "", fmt.Errorf("a quotation mark is not closed")
}

// all returns the sections called keyword directly inside s.
func (s Section) all(keyword string) []Section {
	var list []Section
	for _, sub := range s.Sections {
		if sub.Keyword == keyword {
			list = append(list, sub)
		}
	}
	return list
}

// resource returns the section of the resource called name.
func (s Section) resource(name string) (Section, bool) {
	for _, sub := range s.all("resource") {
		if len(sub.Args) > 0 && sub.Args[0] == name {
			return sub, true
		}
	}
	return Section{}, false
}

// option returns the value of an option in a section called kind directly
// inside s. An option without a value is switched on.
func (s Section) option(kind, keyword string) (string, bool) {
	value, found := "", false
	for _, sub := range s.all(kind) {
		for _, o := range sub.Options {
			if o.Keyword != keyword {
				continue
			}
			value, found = "yes", true
			if len(o.Values) > 0 {
				value = o.Values[0]
			}
		}
	}
	return value, found
}

// effective returns the option's value from the first of the scopes that has
// it, or fallback.
func effective(scopes []Section, kind, keyword, fallback string) string {
	for _, s := range scopes {
		if v, ok := s.option(kind, keyword); ok {
			return v
		}
	}
	return fallback
}
