package ctl

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// shownAs writes what a terminal would obey as Go would, ends of lines included.
func shownAs(text string) string {
	return spelt(text, unicode.IsPrint)
}

// spelt writes what must not be shown as Go would.
func spelt(text string, mayShow func(rune) bool) string {
	if utf8.ValidString(text) && !strings.ContainsFunc(text, func(r rune) bool { return !mayShow(r) }) {
		return text
	}
	var b strings.Builder
	for len(text) > 0 {
		r, n := utf8.DecodeRuneInString(text)
		if r == utf8.RuneError && n == 1 || !mayShow(r) {
			quoted := strconv.QuoteToGraphic(text[:n])
			b.WriteString(quoted[1 : len(quoted)-1])
		} else {
			b.WriteString(text[:n])
		}
		text = text[n:]
	}
	return b.String()
}

// ourColours are all that is meant for a terminal itself in what this program prints.
var ourColours = []string{"\x1b[" + string(red) + "m", "\x1b[" + string(green) + "m", "\x1b[" + string(yellow) + "m", "\x1b[" + string(bold) + "m", "\x1b[0m"}

// forTerminal leaves lines and our own colours in a text, and nothing else that a
// terminal would obey: what is printed may be a node's own words, and a node may be in
// anybody's hands.
func forTerminal(text string, colours colourful) string {
	line := func(r rune) bool { return r == '\n' || r == '\t' || unicode.IsPrint(r) }
	if !colours {
		return spelt(text, line)
	}
	var b strings.Builder
	for {
		at, ours := len(text), ""
		for _, c := range ourColours {
			if i := strings.Index(text, c); i >= 0 && i < at {
				at, ours = i, c
			}
		}
		b.WriteString(spelt(text[:at], line) + ours)
		if text = text[at+len(ours):]; text == "" {
			return b.String()
		}
	}
}

// inJSON spells the control characters that JSON allows in a string.
func inJSON(text []byte) []byte {
	var b []byte
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		if r != '\n' && unicode.IsControl(r) {
			b = fmt.Appendf(b, `\u%04x`, r)
		} else {
			b = append(b, text[:n]...)
		}
		text = text[n:]
	}
	return b
}

// forPeople is a copy of a document in which no sentence or name can do more than
// stand in its line.
func forPeople[T any](document T) T {
	text, err := json.Marshal(document)
	if err != nil {
		panic("sbctl: copy a document: " + err.Error()) // it was read from JSON
	}
	var out T
	if err := json.Unmarshal(text, &out); err != nil {
		panic("sbctl: copy a document: " + err.Error())
	}
	tidy(reflect.ValueOf(&out).Elem())
	return out
}

func tidy(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		if v.CanSet() {
			v.SetString(shownAs(v.String()))
		}
	case reflect.Pointer:
		if !v.IsNil() {
			tidy(v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			tidy(v.Field(i))
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			tidy(v.Index(i))
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			of := reflect.New(v.Type().Elem()).Elem()
			of.Set(v.MapIndex(key))
			tidy(of)
			v.SetMapIndex(key, of)
		}
	default: // numbers, and what no JSON gives
	}
}
