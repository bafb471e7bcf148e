package cdk

var Synthesise, Noted = synth, noted
