// Package lines is how a program is asked by the benchmark: one line of JSON in, one line of JSON out. A
// program announces its port in its first line and ends with its standard input.
package lines

import (
	"bufio"
	"encoding/json"
	"log"
	"os"
)

const questionBytesMax = 1 << 20

// Serve announces the port, 0 where the program does not listen, and answers until the input ends.
func Serve[Question, Answer any](port int, answer func(Question) (Answer, error)) {
	say(map[string]int{"port": port})
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, questionBytesMax)
	for in.Scan() {
		var question Question
		if err := json.Unmarshal(in.Bytes(), &question); err != nil {
			log.Fatalf("a question does not parse: %v", err)
		}
		result, err := answer(question)
		if err != nil {
			log.Fatal(err)
		}
		say(result)
	}
	if err := in.Err(); err != nil {
		log.Fatal(err)
	}
}

func say(value any) {
	line, err := json.Marshal(value)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := os.Stdout.Write(append(line, '\n')); err != nil {
		log.Fatal(err)
	}
}
