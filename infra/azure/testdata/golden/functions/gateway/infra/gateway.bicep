// Rendered by godwit from godwit.yaml, for package sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08.
// Change godwit.yaml and render again rather than this file.
//
// Deploy this when the package is there: only a host that runs has keys.

@description('The function app: AZURE_FUNCTION_NAME of main.bicep.')
param appName string

@description('The region of main.bicep.')
param location string = resourceGroup().location

@description('Who answers for the API; API Management writes there.')
param publisherEmail string

resource app 'Microsoft.Web/sites@2024-11-01' existing = {
  name: appName
}

// Consumption: paid for by the call. A request has 30s and 2MiB.
resource gateway 'Microsoft.ApiManagement/service@2024-05-01' = {
  name: '${appName}-api'
  location: location
  sku: {
    name: 'Consumption'
    capacity: 0
  }
  properties: {
    publisherName: 'fraud'
    publisherEmail: publisherEmail
  }
}

// The one key in these files, which stays between the two: the Functions host knows callers by nothing else.
resource functionKey 'Microsoft.ApiManagement/service/namedValues@2024-05-01' = {
  parent: gateway
  name: 'function-key'
  properties: {
    displayName: 'function-key'
    secret: true
    value: listKeys('${app.id}/host/default', '2024-11-01').functionKeys.default
  }
}

resource function 'Microsoft.ApiManagement/service/backends@2024-05-01' = {
  parent: gateway
  name: 'function'
  properties: {
    protocol: 'http'
    url: 'https://${app.properties.defaultHostName}'
    credentials: {
      header: {
        'x-functions-key': [
          '{{function-key}}'
        ]
      }
    }
  }
  dependsOn: [
    functionKey
  ]
}

resource protocol 'Microsoft.ApiManagement/service/apis@2024-05-01' = {
  parent: gateway
  name: 'fraud'
  properties: {
    displayName: 'fraud'
    path: ''
    protocols: [
      'https'
    ]
    // Callers show a subscription's key.
    subscriptionRequired: true
  }
}

resource reads 'Microsoft.ApiManagement/service/apis/operations@2024-05-01' = {
  parent: protocol
  name: 'reads'
  properties: {
    displayName: 'reads'
    method: 'GET'
    urlTemplate: '/*'
  }
}

resource asks 'Microsoft.ApiManagement/service/apis/operations@2024-05-01' = {
  parent: protocol
  name: 'asks'
  properties: {
    displayName: 'asks'
    method: 'HEAD'
    urlTemplate: '/*'
  }
}

resource infers 'Microsoft.ApiManagement/service/apis/operations@2024-05-01' = {
  parent: protocol
  name: 'infers'
  properties: {
    displayName: 'infers'
    method: 'POST'
    urlTemplate: '/*'
  }
}

resource policy 'Microsoft.ApiManagement/service/apis/policies@2024-05-01' = {
  parent: protocol
  name: 'policy'
  properties: {
    format: 'rawxml'
    value: '<policies><inbound><base /><set-backend-service backend-id="function" /></inbound><backend><base /></backend><outbound><base /></outbound><on-error><base /></on-error></policies>'
  }
  dependsOn: [
    function
  ]
}

output GATEWAY_URL string = gateway.properties.gatewayUrl
