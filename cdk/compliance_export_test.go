package cdk

var Acknowledgements = acknowledgements
