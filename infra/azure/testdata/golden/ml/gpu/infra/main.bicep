// Rendered by godwit from godwit.yaml, for package sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08.
// Change godwit.yaml and render again rather than this file.

@description('The Azure Machine Learning workspace, which is there.')
param workspaceName string

@description('The region, which is the workspace\'s.')
param location string = resourceGroup().location

resource workspace 'Microsoft.MachineLearningServices/workspaces@2025-12-01' existing = {
  name: workspaceName
}

resource image 'Microsoft.MachineLearningServices/workspaces/environments@2025-12-01' = {
  parent: workspace
  name: 'fraud'
  properties: {}
}

resource imageVersion 'Microsoft.MachineLearningServices/workspaces/environments/versions@2025-12-01' = {
  parent: image
  name: '9f86d081884c'
  properties: {
    image: 'registry.example.com/acme/fraud@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08'
    osType: 'Linux'
    inferenceConfig: {
      livenessRoute: {
        path: '/v2/health/live'
        port: 5001
      }
      readinessRoute: {
        path: '/v2/health/ready'
        port: 5001
      }
      scoringRoute: {
        path: '/score'
        port: 5001
      }
    }
  }
}

// Callers show an Entra token, and need the right to score on this endpoint.
resource endpoint 'Microsoft.MachineLearningServices/workspaces/onlineEndpoints@2025-12-01' = {
  parent: workspace
  name: 'fraud'
  location: location
  identity: {
    type: 'SystemAssigned'
  }
  properties: {
    authMode: 'AADToken'
    publicNetworkAccess: 'Enabled'
  }
}

// Traffic is sent to it when it is up: README.md has the line.
resource deployment 'Microsoft.MachineLearningServices/workspaces/onlineEndpoints/deployments@2025-12-01' = {
  parent: endpoint
  name: 'v9f86d081884c'
  location: location
  sku: {
    name: 'Default'
    capacity: 1
  }
  properties: {
    endpointComputeType: 'Managed'
    environmentId: imageVersion.id
    instanceType: 'Standard_NC4as_T4_v3'
    environmentVariables: {
      GODWIT_TARGET: 'azureml'
      PORT: '5001'
    }
    // The proxy in front passes on one request at a time unless it is told.
    requestSettings: {
      requestTimeout: 'PT5S'
      maxConcurrentRequestsPerInstance: 4
      maxQueueWait: 'PT0.5S'
    }
    livenessProbe: {
      initialDelay: 'PT30S'
      period: 'PT10S'
      timeout: 'PT5S'
      failureThreshold: 30
      successThreshold: 1
    }
    readinessProbe: {
      initialDelay: 'PT10S'
      period: 'PT10S'
      timeout: 'PT5S'
      failureThreshold: 60
      successThreshold: 1
    }
    egressPublicNetworkAccess: 'Enabled'
  }
}

output ENDPOINT_NAME string = endpoint.name
output SCORING_URI string = endpoint.properties.scoringUri
