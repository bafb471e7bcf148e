// Package dynamodb keeps claims in a table of Amazon DynamoDB.
//
// The table has a partition key "id" of type string and no sort key; its time to
// live, where that is on, is the attribute "expiration". That and the other
// attributes are those of AWS's Powertools, so that one table serves both. What
// it takes to use it: dynamodb:PutItem, dynamodb:DeleteItem, dynamodb:GetItem.
//
// The client is our own, because three calls of one protocol are all there is to
// it, and an SDK would weigh more than the rest of a function.
package dynamodb
